"""Losses from logits and labels, and the step that trains on one of them in place of the head's own.

    step = supervised_step(config, weigh=task.weigh, factors=task.loss_factors, kind="single")

Each loss is a mean, together with what it is a mean over: weighing several batches by that gives exactly the loss of
one large batch. Labels of -100 do not count. All of them compute in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from plm.blocks.labels import IGNORED_LABEL
from plm.errors import ConfigError, ShapeError, TrainingError
from plm.training.step import (
    Batch,
    Step,
    StepResult,
    SupervisedStep,
    Weights,
    model_inputs,
    weigh_labels,
)

if TYPE_CHECKING:
    from plm.training.config import TrainingConfig


class LogitsLoss(Protocol):
    """A mean over labels."""

    def weigh(self, labels: Tensor) -> Tensor:
        """Scalar: what the mean is taken over."""
        ...

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Scalar with gradient; 0 where nothing counts."""
        ...


@dataclass(frozen=True, kw_only=True)
class CrossEntropy:
    """One class each: logits (..., classes), labels (...), int64.

    loss = sum over labels y of  -sum_c w_c q_c (1 - p_c) ** gamma log p_c,  by the sum of all w_y
    with q the label smoothed, 1 - label_smoothing at y and label_smoothing / classes on top everywhere.
    label_smoothing and class_weights (w, by class; None = all 1) as in torch.nn.functional.cross_entropy, to which it
    is equal without focal_gamma. The mean is over the weights of the labels, not their number: also as in torch.
    A class whose logit is the lowest finite value is not there, such as a choice that an example does not have, and
    smoothing leaves it out.
    Sources: Szegedy et al. 2016 (smoothing), Lin et al. 2017 (gamma).
    """

    label_smoothing: float = 0.0
    focal_gamma: float = 0.0
    class_weights: tuple[float, ...] | None = None

    def weigh(self, labels: Tensor) -> Tensor:
        """The sum of the weights of the labels that count."""
        counted = labels[labels != IGNORED_LABEL]
        if self.class_weights is None:
            return torch.tensor(float(counted.numel()), device=labels.device)
        return _on(labels, self.class_weights)[counted].sum()

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Raises ShapeError when logits, labels and class_weights do not fit together."""
        _check_shapes(logits, tuple(labels.shape) == tuple(logits.shape[:-1]), labels, self.class_weights)
        rows, flat = logits.flatten(0, -2), labels.flatten()
        weights = None if self.class_weights is None else _on(labels, self.class_weights)
        if self.label_smoothing or self.focal_gamma:
            total = self._of_all_classes(rows, flat, weights)
        else:
            total = F.cross_entropy(rows.float(), flat, weight=weights, ignore_index=IGNORED_LABEL, reduction="sum")
        return total / _or_one(self.weigh(labels))

    def _of_all_classes(self, logits: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
        """The sum over labels and classes. logits: (rows, classes); labels: (rows,); weights: (classes,)."""
        counted = labels != IGNORED_LABEL
        logits, labels = logits[counted], labels[counted, None]
        is_there = logits > torch.finfo(logits.dtype).min
        logs = F.log_softmax(logits.float(), dim=-1).masked_fill(~is_there, 0.0)
        shares = is_there * (self.label_smoothing / is_there.sum(-1, keepdim=True))
        shares = shares.scatter_add(1, labels, torch.full_like(logs[:, :1], 1.0 - self.label_smoothing))
        return -((shares if weights is None else shares * weights) * _focus(logs, self.focal_gamma) * logs).sum()


@dataclass(frozen=True, kw_only=True)
class MultiLabelCrossEntropy:
    """Any number of classes each: logits and labels (..., classes), labels 0 or 1 or between.

    loss = mean over all (text, class) that count of  -w_c (q (1 - p) ** gamma log p + (1 - q) p ** gamma log (1 - p))
    with q the label, moved by label_smoothing towards 1/2. The mean is over the number of labels, as in
    torch.nn.functional.binary_cross_entropy_with_logits, to which it is equal without smoothing and focal_gamma.
    """

    label_smoothing: float = 0.0
    focal_gamma: float = 0.0
    class_weights: tuple[float, ...] | None = None

    def weigh(self, labels: Tensor) -> Tensor:
        """The number of labels that count."""
        return (labels != IGNORED_LABEL).sum().float()

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Raises ShapeError when logits, labels and class_weights do not fit together."""
        _check_shapes(logits, labels.shape == logits.shape, labels, self.class_weights)
        counted = labels != IGNORED_LABEL
        shares = labels.float() * (1.0 - self.label_smoothing) + 0.5 * self.label_smoothing
        yes, no = F.logsigmoid(logits.float()), F.logsigmoid(-logits.float())
        losses = -(shares * _focus(yes, self.focal_gamma) * yes + (1.0 - shares) * _focus(no, self.focal_gamma) * no)
        if self.class_weights is not None:
            losses = losses * _on(labels, self.class_weights)
        return torch.where(counted, losses, 0.0).sum() / _or_one(self.weigh(labels))


Kind = Literal["single", "multi", "choice"]
"""What a head decides: one class of a text or token, any number of them, or one of several texts."""

_LOSSES: Mapping[Kind, type[CrossEntropy] | type[MultiLabelCrossEntropy]] = {
    "single": CrossEntropy,
    "multi": MultiLabelCrossEntropy,
    "choice": CrossEntropy,
}

_OPTIONS = ("label_smoothing", "focal_gamma", "class_weights")


@dataclass(frozen=True)
class LogitsStep:
    """A supervised step whose first loss is another: that of the model's `logits` and the batch's "labels".

    For heads whose logits stand in the places of the labels: classes of texts or of tokens, choices. Labels of tokens
    have to be -100 at padding. The head's other losses, such as that of a language model besides, stay its own.

    loss: in the place of the first one that rest.weigh names. rest: what the step is otherwise.
    """

    loss: LogitsLoss
    rest: SupervisedStep = field(default_factory=SupervisedStep)

    def weigh(self, batch: Batch) -> Weights:
        """Raises TrainingError when the batch has no "labels"."""
        if "labels" not in batch:
            raise TrainingError(f'cannot train on a batch without "labels" (it has: {", ".join(batch)})')
        weights = self.rest.weigh(batch)
        return {**weights, next(iter(weights)): self.loss.weigh(batch["labels"])}

    def __call__(self, model: nn.Module, batch: Batch) -> StepResult:
        """Raises TrainingError when the model returns no logits, or not one of the other losses."""
        output = model(**model_inputs(batch))
        logits: Tensor | None = getattr(output, "logits", None)
        if logits is None:
            raise TrainingError("the model returned no 'logits': this loss needs a head that classifies")
        first, *others = self.rest.weigh(batch)
        own = self.loss(logits, batch["labels"]) * self.rest.factors.get(first, 1.0)
        return StepResult({first: own} | {name: self.rest.loss(output, name) for name in others})


def supervised_step(
    config: TrainingConfig,
    *,
    weigh: Callable[[Batch], Weights] = weigh_labels,
    factors: Mapping[str, float] = MappingProxyType({}),
    counts: Sequence[int] | None = None,
    kind: Kind | None = None,
) -> Step:
    """The step for a head as the config asks for it: its own losses, or the first one of them by another formula.

    weigh, factors: as in SupervisedStep. counts: examples of each class, which class_weights "balanced" need.
    kind: what the head decides; None = numbers, spans, words, or whole sequences (a CRF): no classes to smooth,
        focus on or weigh.
    R-Drop and adversarial passes are the Updater's, for every step.
    Raises ConfigError when the config asks for what this kind of head does not have.
    """
    own = SupervisedStep(weigh=weigh, factors=factors)
    asked = [name for name in _OPTIONS if getattr(config, name) not in (None, 0.0)]
    if not asked:
        return own
    if kind is None:
        raise ConfigError(f"{', '.join(asked)}: only for heads that decide between classes; leave it out for this task")
    if kind == "choice" and config.class_weights is not None:
        raise ConfigError("class_weights: the choices of an example are no classes to weigh; leave it out")
    weights = config.class_weights
    if weights == "balanced":
        if counts is None:
            raise ConfigError('class_weights: "balanced" needs counts of the classes, and this task has none')
        weights = balanced_weights(counts)
    loss = _LOSSES[kind](label_smoothing=config.label_smoothing, focal_gamma=config.focal_gamma, class_weights=weights)
    return LogitsStep(loss, own)


def balanced_weights(counts: Sequence[int]) -> tuple[float, ...]:
    """Weights with which every class counts the same in all examples together; their mean over the examples is 1.

    counts: examples by class. A class without any gets 1. Raises TrainingError without examples, or for less than 0.
    """
    if min(counts, default=0) < 0 or sum(counts) == 0:
        raise TrainingError(f"class_weights: expected counts from 0 up, not all 0, got {list(counts)}")
    seen = sum(count > 0 for count in counts)
    return tuple(sum(counts) / (seen * count) if count else 1.0 for count in counts)


def _focus(logs: Tensor, gamma: float) -> Tensor:
    """(1 - p) ** gamma from log p, with a gradient also where p is 1."""
    if not gamma:
        return torch.ones_like(logs)
    return (-torch.expm1(logs)).clamp(min=torch.finfo(logs.dtype).tiny) ** gamma


def _check_shapes(logits: Tensor, fits: bool, labels: Tensor, class_weights: Sequence[float] | None) -> None:
    if not fits:
        raise ShapeError(f"labels {tuple(labels.shape)} do not fit logits {tuple(logits.shape)}")
    if class_weights is not None and len(class_weights) != logits.shape[-1]:
        raise ShapeError(f"class_weights: {len(class_weights)} weights for {logits.shape[-1]} classes")


def _on(labels: Tensor, weights: Sequence[float]) -> Tensor:
    return torch.tensor(weights, dtype=torch.float32, device=labels.device)


def _or_one(weight: Tensor) -> Tensor:
    return torch.where(weight > 0, weight, torch.ones_like(weight))
