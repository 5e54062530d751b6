"""Next sentence prediction: did the second segment follow the first?"""

from __future__ import annotations

from torch import Tensor, nn

from plm.blocks.linear import Linear
from plm.heads.head import HEADS, HeadSpec, Targets, always, mean_cross_entropy
from plm.heads.output import LogitsOutput
from plm.models.backbone import Encoding
from plm.models.config import ModelConfig


class NextSentence(nn.Module):
    """labels: (batch,), int64; 0 = the second segment follows, 1 = it is random.

    Logits: (batch, 2); loss: mean cross-entropy in nats. Source: Devlin et al. 2019, 3.1.
    """

    targets = ("labels",)

    def __init__(self, *, hidden_size: int) -> None:
        super().__init__()
        self.classifier = Linear(hidden_size, 2)

    def forward(self, encoding: Encoding, targets: Targets) -> LogitsOutput:
        """See the class."""
        logits = self.logits(encoding)
        loss = mean_cross_entropy(logits, targets["labels"]) if "labels" in targets else None
        return LogitsOutput(logits=encoding.by_text(logits), loss=loss)

    def logits(self, encoding: Encoding) -> Tensor:
        """(batch, 2)."""
        assert encoding.pooled is not None
        logits: Tensor = self.classifier(encoding.pooled)
        return logits


def build_next_sentence(config: ModelConfig) -> NextSentence:
    """See NextSentence."""
    return NextSentence(hidden_size=config.hidden_size)


HEADS.add(
    "next_sentence",
    HeadSpec(
        build=build_next_sentence,
        needs_pooler=always,
        parts=(("classifier", "next_sentence"),),
        architecture="ForNextSentencePrediction",
    ),
)
