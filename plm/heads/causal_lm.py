"""Causal language model: which word comes next?"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from plm.blocks.labels import IGNORED_LABEL
from plm.blocks.layout import Packed
from plm.heads.head import HEADS, HeadSpec, Targets, mean_cross_entropy, never, token_labels
from plm.heads.language_model import LanguageModel, build_language_model
from plm.heads.output import LogitsOutput
from plm.models.backbone import Encoding
from plm.models.config import ModelConfig


class CausalLanguageModel(nn.Module):
    """labels: (batch, length), int64; usually the input ids, -100 where nothing is to be learned.

    Logits: (batch, length, vocab_size); those at position i predict token i + 1. The loss is the mean cross-entropy
    in nats over labelled next tokens; 0 when there are none. Source: Radford et al. 2018, equation 1.
    """

    targets = ("labels",)

    def __init__(self, language_model: LanguageModel) -> None:
        super().__init__()
        self.language_model = language_model

    def forward(self, encoding: Encoding, targets: Targets) -> LogitsOutput:
        """See the class."""
        rows = self.language_model(encoding.hidden, encoding.word_embeddings)
        loss = next_token_loss(encoding, rows, targets["labels"]) if "labels" in targets else None
        return LogitsOutput(logits=encoding.restore(rows), loss=loss)


def next_token_loss(encoding: Encoding, logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of logits, rows of `encoding.hidden`, against the labels of the tokens after them."""
    return mean_cross_entropy(logits, following_labels(encoding, labels))


def following_labels(encoding: Encoding, labels: Tensor) -> Tensor:
    """Each token's label becomes that of its successor in the same text; as rows of `encoding.hidden`."""
    layout = encoding.layout
    if layout.live is not None:
        labels = labels.masked_fill(~encoding.by_text(layout.live), IGNORED_LABEL)
    following = torch.full_like(labels, IGNORED_LABEL)
    following[..., :-1] = labels[..., 1:]
    if isinstance(layout, Packed) and layout.index is None:
        following[layout.ends - 1] = IGNORED_LABEL
    return token_labels(encoding, following)


def build_causal_lm(config: ModelConfig) -> CausalLanguageModel:
    """See CausalLanguageModel."""
    return CausalLanguageModel(build_language_model(config))


HEADS.add(
    "causal_lm",
    HeadSpec(
        build=build_causal_lm,
        needs_pooler=never,
        parts=(("language_model", "language_model"),),
        architecture="LMHeadModel",
    ),
)
