"""One decision for every token: each for itself, or all of a text together."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from plm.blocks.labels import IGNORED_LABEL
from plm.blocks.layout import Packed
from plm.blocks.linear import Linear
from plm.heads.crf import Crf, Transitions, by_sequence, log_likelihood
from plm.heads.head import HEADS, HeadSpec, Targets, mean_cross_entropy, never, token_labels
from plm.heads.output import LogitsOutput, Output
from plm.models.backbone import Encoding
from plm.models.config import ModelConfig


class TokenClassification(nn.Module):
    """labels: (batch, length), int64; -100 = not counted (later pieces of a word, special tokens).

    Logits: (batch, length, classes); loss: mean cross-entropy over counted tokens, 0 when there are none.
    """

    targets = ("labels",)

    def __init__(self, *, hidden_size: int, num_labels: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.classifier = Linear(hidden_size, num_labels)

    def forward(self, encoding: Encoding, targets: Targets) -> LogitsOutput:
        """See the class."""
        rows = self.classifier(self.dropout(encoding.hidden))
        loss = mean_cross_entropy(rows, token_labels(encoding, targets["labels"])) if "labels" in targets else None
        return LogitsOutput(logits=encoding.restore(rows), loss=loss)


@dataclass(kw_only=True)
class CrfOutput(Output):
    """What plm.heads.crf.viterbi needs to find the best classes.

    logits: emissions, (batch, length, classes). transitions: (classes, classes), from, to.
    start_transitions, end_transitions: (classes,).
    """

    loss: Tensor | None = None
    logits: Tensor
    start_transitions: Tensor
    transitions: Tensor
    end_transitions: Tensor

    @property
    def scores(self) -> Transitions:
        """The transitions as `viterbi` takes them."""
        return Transitions(self.start_transitions, self.transitions, self.end_transitions)


class CrfTokenClassification(nn.Module):
    """labels: (batch, length), int64; the counted tokens (not -100) of a text are one sequence, whatever lies between.

    Emissions are those of TokenClassification. Loss: negative log-likelihood of all sequences of the batch, divided by
    the number of counted tokens, 0 when there are none. So it weighs as the softmax loss does, in nats a token, and
    batches add up by their counted tokens.
    """

    targets = ("labels",)

    def __init__(self, *, hidden_size: int, num_labels: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.classifier = Linear(hidden_size, num_labels)
        self.crf = Crf(num_labels)

    def forward(self, encoding: Encoding, targets: Targets) -> CrfOutput:
        """See the class."""
        rows, scores = self.classifier(self.dropout(encoding.hidden)), self.crf.scores
        loss = self._loss(rows, encoding, targets["labels"]) if "labels" in targets else None
        return CrfOutput(
            logits=encoding.restore(rows),
            start_transitions=scores.start,
            transitions=scores.between,
            end_transitions=scores.end,
            loss=loss,
        )

    def _loss(self, rows: Tensor, encoding: Encoding, labels: Tensor) -> Tensor:
        """rows: emissions in the layout of `encoding.hidden`."""
        labels, texts = token_labels(encoding, labels).flatten(), _text_of_rows(encoding)
        counted = labels != IGNORED_LABEL
        if not bool(counted.any()):
            return rows.float().sum() * 0 + sum(held.sum() for held in self.crf.scores) * 0
        emissions, lengths = by_sequence(rows.flatten(0, -2).float()[counted], texts[counted])
        classes, _ = by_sequence(labels[counted], texts[counted])
        return -log_likelihood(emissions, classes, lengths, self.crf.scores).sum() / counted.sum()


def _text_of_rows(encoding: Encoding) -> Tensor:
    """(rows,), int64: which text each of the flattened rows of `hidden` is of."""
    hidden, layout = encoding.hidden, encoding.layout
    lengths = torch.tensor(layout.lengths if isinstance(layout, Packed) else [hidden.shape[1]] * hidden.shape[0])
    return torch.arange(len(lengths)).repeat_interleave(lengths).to(hidden.device)


def build_token_classification(config: ModelConfig) -> TokenClassification:
    """See TokenClassification."""
    return TokenClassification(hidden_size=config.hidden_size, num_labels=config.num_labels, dropout=_dropout(config))


def build_crf_token_classification(config: ModelConfig) -> CrfTokenClassification:
    """See CrfTokenClassification."""
    return CrfTokenClassification(
        hidden_size=config.hidden_size, num_labels=config.num_labels, dropout=_dropout(config)
    )


def _dropout(config: ModelConfig) -> float:
    return config.hidden_dropout_prob if config.classifier_dropout is None else config.classifier_dropout


HEADS.add(
    "token_classification",
    HeadSpec(
        build=build_token_classification,
        needs_pooler=never,
        parts=(("classifier", "classifier"),),
        architecture="ForTokenClassification",
    ),
)
HEADS.add(
    "crf_token_classification",
    HeadSpec(
        build=build_crf_token_classification,
        needs_pooler=never,
        parts=(("classifier", "classifier"), ("crf", "crf")),
        architecture="",
    ),
)
