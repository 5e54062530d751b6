"""Extractive question answering: where does the answer start and end?"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from plm.blocks.labels import IGNORED_LABEL
from plm.blocks.linear import Linear
from plm.errors import ShapeError
from plm.heads.head import HEADS, HeadSpec, Targets, mean_cross_entropy, never
from plm.heads.output import SpanOutput
from plm.models.backbone import Encoding
from plm.models.config import ModelConfig


class QuestionAnswering(nn.Module):
    """start_positions, end_positions: (batch,), int64, both or none; positions outside the text are not counted.

    Logits: (batch, length) each, the lowest finite value at padding, so that no answer lies there and padding never
    changes the loss: the mean cross-entropy over positions, averaged over start and end.
    """

    targets = ("start_positions", "end_positions")

    def __init__(self, *, hidden_size: int) -> None:
        super().__init__()
        self.outputs = Linear(hidden_size, 2)

    def forward(self, encoding: Encoding, targets: Targets) -> SpanOutput:
        """See the class. Raises ShapeError for one position without the other, or positions in packed texts."""
        logits = encoding.restore(self.outputs(encoding.hidden))
        if (live := encoding.layout.live) is not None:
            logits = logits.masked_fill(~encoding.by_text(live)[..., None], torch.finfo(logits.dtype).min)
        start, end = logits.unbind(-1)
        return SpanOutput(start_logits=start, end_logits=end, loss=_span_loss(start, end, targets) if targets else None)


def _span_loss(start: Tensor, end: Tensor, targets: Targets) -> Tensor:
    if len(targets) < 2 or start.dim() < 2:
        raise ShapeError("the loss needs start_positions and end_positions, and padded input_ids (batch, length)")
    return (_loss(start, targets["start_positions"]) + _loss(end, targets["end_positions"])) / 2


def _loss(logits: Tensor, positions: Tensor) -> Tensor:
    inside = (positions >= 0) & (positions < logits.shape[-1])
    return mean_cross_entropy(logits, positions.masked_fill(~inside, IGNORED_LABEL))


def build_question_answering(config: ModelConfig) -> QuestionAnswering:
    """See QuestionAnswering."""
    return QuestionAnswering(hidden_size=config.hidden_size)


HEADS.add(
    "question_answering",
    HeadSpec(
        build=build_question_answering,
        needs_pooler=never,
        parts=(("outputs", "span"),),
        architecture="ForQuestionAnswering",
    ),
)
