"""What a head is, and the registry of heads."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn
from torch.nn import functional as F

from plm.blocks.labels import IGNORED_LABEL
from plm.errors import UnknownNameError, did_you_mean
from plm.heads.output import Output
from plm.models.backbone import Encoding
from plm.models.config import ModelConfig
from plm.registry import Registry

Targets = Mapping[str, Tensor]


class Head(Protocol):
    """A module that sees an encoding and targets, never tokens or files.

    targets: names of the tensors it takes (labels, positions), all optional.
    """

    targets: tuple[str, ...]

    def __call__(self, encoding: Encoding, targets: Targets) -> Output:
        """Predictions, and a loss when the targets for it are there."""
        ...


@dataclass(frozen=True, kw_only=True)
class HeadSpec:
    """One row of HEADS.

    build: config -> head with uninitialised parameters.
    needs_pooler: True when the head reads the pooled first token of a model with this config.
    parts: (prefix inside the head, part name) of everything that checkpoints store; part names are those of the
        tables in plm.checkpoints.maps. () = no layout has names for it, so that it is stored under our own.
    architecture: suffix of the class name that transformers gives this head, for config.json; "" = it has none.
    """

    build: Callable[[ModelConfig], nn.Module]
    needs_pooler: Callable[[ModelConfig], bool]
    parts: tuple[tuple[str, str], ...]
    architecture: str


HEADS: Registry[HeadSpec] = Registry("head")


def never(config: ModelConfig) -> bool:
    """A head that reads token states only."""
    return False


def always(config: ModelConfig) -> bool:
    """A head that reads the pooled first token."""
    return True


def when_pooled(config: ModelConfig) -> bool:
    """A head that reads what the config's classifier_pooling says."""
    return config.classifier_pooling == "pooled"


def check_targets(targets: Collection[str], known: tuple[str, ...], head: str) -> None:
    """Raise UnknownNameError for a target that the head does not take, with the nearest that it does."""
    for name in targets:
        if name not in known:
            listed = ", ".join(known) or "none"
            raise UnknownNameError(f"{head} takes no target {name!r}{did_you_mean(name, known)} (it takes: {listed})")


def token_labels(encoding: Encoding, labels: Tensor) -> Tensor:
    """Labels by token, (*leading, length), as rows of `encoding.hidden`; padding never counts."""
    live = encoding.layout.live
    if live is not None:
        labels = labels.masked_fill(~encoding.by_text(live), IGNORED_LABEL)
    return encoding.rows(labels)


def mean_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy in nats, in float32, over labels that are not IGNORED_LABEL; 0 when there are none.

    logits: (..., classes), floating; labels: (...), int64. Gradients exist, and are 0, even when nothing counts.
    """
    total = F.cross_entropy(
        logits.flatten(0, -2).float(), labels.flatten(), ignore_index=IGNORED_LABEL, reduction="sum"
    )
    return total / (labels != IGNORED_LABEL).sum().clamp(min=1)
