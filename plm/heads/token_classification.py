"""One decision for every token."""

from __future__ import annotations

from torch import nn

from plm.blocks.linear import Linear
from plm.heads.head import HEADS, HeadSpec, Targets, mean_cross_entropy, never, token_labels
from plm.heads.output import LogitsOutput
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


def build_token_classification(config: ModelConfig) -> TokenClassification:
    """See TokenClassification."""
    dropout = config.hidden_dropout_prob if config.classifier_dropout is None else config.classifier_dropout
    return TokenClassification(hidden_size=config.hidden_size, num_labels=config.num_labels, dropout=dropout)


HEADS.add(
    "token_classification",
    HeadSpec(
        build=build_token_classification,
        needs_pooler=never,
        parts=(("classifier", "classifier"),),
        architecture="ForTokenClassification",
    ),
)
