"""A head as users write one: it is not of plm, no family lists it and no layout has names for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from plm.heads.head import HEADS, HeadSpec, Targets, mean_cross_entropy, never
from plm.heads.output import LogitsOutput
from plm.models.backbone import Encoding
from plm.models.config import ModelConfig

NAME = "both_ends"


class BothEnds(nn.Module):
    """labels: (batch,), int64. A class from the states of the first and the last token."""

    targets = ("labels",)

    def __init__(self, *, hidden_size: int, num_labels: int) -> None:
        super().__init__()
        self.decide = nn.Linear(hidden_size, num_labels)

    def forward(self, encoding: Encoding, targets: Targets) -> LogitsOutput:
        """Logits (batch, classes), and the mean cross-entropy."""
        logits = self.decide(encoding.first_tokens + encoding.last_tokens)
        loss = mean_cross_entropy(logits, targets["labels"]) if "labels" in targets else None
        return LogitsOutput(logits=logits, loss=loss)


def build(config: ModelConfig) -> BothEnds:
    """See BothEnds."""
    return BothEnds(hidden_size=config.hidden_size, num_labels=config.num_labels)


@contextmanager
def registered() -> Iterator[str]:
    """Inside, the head is known under the name that it returns."""
    HEADS.add(NAME, HeadSpec(build=build, needs_pooler=never, parts=(), architecture=""))
    try:
        yield NAME
    finally:
        HEADS.remove(NAME)
