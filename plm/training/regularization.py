"""R-Drop: the same examples twice, under different dropout, should get the same predictions.

    step = RDropStep(SupervisedStep(), alpha=1.0)

Source: Wu et al. 2021, "R-Drop: Regularized Dropout for Neural Networks".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from plm.blocks.labels import IGNORED_LABEL
from plm.errors import ConfigError, ShapeError, TrainingError
from plm.training.step import Batch, Step, StepResult, Weights

Value = TypeVar("Value")

R_DROP = "r_drop"
"""Name of the loss that is added."""

TASK_LOSS = "task_loss"
"""Name of what a step without names of its own calls "loss", which is now the name of the sum."""

PREDICTIONS: Mapping[str, str] = {
    "labels": "logits",
    "start_positions": "start_logits",
    "end_positions": "end_logits",
}
"""Target in the batch -> field of the model's output that holds the predictions for it."""


@dataclass(frozen=True)
class RDropStep:
    """Any step, on every example twice, and alpha times the divergence of the two predictions.

    The model sees one batch with every example in it twice, which draws independent dropout for the two; the losses of
    `step` are means over both, and "loss" becomes "task_loss". Added is, as "r_drop", alpha times
    (KL(P, Q) + KL(Q, P)) / 2 in nats, the mean over the predictions whose targets count: labels other than -100, spans
    inside the text. For several labels of one text it is the divergence of each class; for scores that of normal
    distributions of variance 1, half the squared difference.

    step: calls the model once for a batch, with tensors whose first dimension is that of the examples.
    alpha: as in the authors' published code, where the two cross-entropies are averaged. The paper adds them up: its
        alpha is twice this one.
    """

    step: Step
    alpha: float

    def __post_init__(self) -> None:
        if not self.alpha > 0.0:
            raise ConfigError(f"alpha: expected a positive number, got {self.alpha}")

    def weigh(self, batch: Batch) -> Weights:
        """The weights of `step`, and the number of predictions that are compared.

        Raises TrainingError when the batch has no targets that say which ones count.
        """
        weights = self.step.weigh(batch)
        if R_DROP in weights:
            raise TrainingError(f"the step has a loss {R_DROP!r} already; R-Drop is applied once")
        return {**_renamed(weights), R_DROP: _number(_counted(batch))}

    def __call__(self, model: nn.Module, batch: Batch) -> StepResult:
        """Raises TrainingError when the step does not call the model exactly once, ShapeError for other predictions."""
        listener = _Listener(model)
        result = self.step(listener, {name: _twice(tensor) for name, tensor in batch.items()})
        if len(listener.outputs) != 1:
            raise TrainingError(f"R-Drop needs a step that calls the model once, got {len(listener.outputs)} calls")
        divergence = self.alpha * _mean_divergence(listener.outputs[0], batch)
        return StepResult({**_renamed(result.losses), R_DROP: divergence}, result.logs)


class _Listener(nn.Module):
    """A model that remembers its outputs; everything else is the model's own."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.outputs: list[Any] = []

    def forward(self, *arguments: Any, **named: Any) -> Any:
        output = self.model(*arguments, **named)
        self.outputs.append(output)
        return output

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.model, name)


def _renamed(values: Mapping[str, Value]) -> dict[str, Value]:
    return {TASK_LOSS if name == "loss" else name: value for name, value in values.items()}


def _twice(tensor: Tensor) -> Tensor:
    """The rows, and the rows again; a single number belongs to the whole batch and stays one."""
    return torch.cat((tensor, tensor)) if tensor.dim() else tensor


def _counted(batch: Batch) -> dict[str, Tensor]:
    """Target -> bool, in its shape, True where it is trained on."""
    targets = {name: batch[name] for name in PREDICTIONS if name in batch}
    if not targets:
        listed = ", ".join(map(repr, PREDICTIONS))
        raise TrainingError(f"R-Drop needs targets in the batch, one of {listed} (it has: {', '.join(batch)})")
    return {name: _counts(name, target, batch) for name, target in targets.items()}


def _counts(name: str, target: Tensor, batch: Batch) -> Tensor:
    if target.is_floating_point():
        return torch.ones_like(target, dtype=torch.bool)
    if name == "labels":
        return target != IGNORED_LABEL
    return (target >= 0) & (target < batch["input_ids"].shape[-1])


def _number(counted: Mapping[str, Tensor]) -> Tensor:
    """Scalar, int64: predictions that count, of all targets."""
    return torch.stack([mask.sum() for mask in counted.values()]).sum()


def _mean_divergence(output: Any, batch: Batch) -> Tensor:
    """Scalar, float32: over all predictions that count, 0 when there are none."""
    counted = _counted(batch)
    sums = [
        torch.where(mask, _divergence(output, target, batch[target]), 0.0).sum() for target, mask in counted.items()
    ]
    return torch.stack(sums).sum() / _number(counted).clamp(min=1)


def _divergence(output: Any, name: str, target: Tensor) -> Tensor:
    """In the shape of the target, float32. In 16 bits, the difference of two near distributions would be rounding."""
    field = PREDICTIONS[name]
    logits: Tensor | None = getattr(output, field, None)
    if logits is None:
        raise TrainingError(f"R-Drop compares {field!r} where a batch has {name!r}; the model returned none")
    first, second = logits.float().chunk(2)
    if not target.is_floating_point() and first.shape[:-1] == target.shape:
        log_p, log_q = F.log_softmax(first, dim=-1), F.log_softmax(second, dim=-1)
        return 0.5 * ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(-1)
    if target.is_floating_point() and first.numel() == target.numel():
        first, second = first.reshape(target.shape), second.reshape(target.shape)
        if target.dim() > 1:  # 0 or 1 for each class
            return 0.5 * (first.sigmoid() - second.sigmoid()) * (first - second)
        return 0.5 * (first - second).square()
    raise ShapeError(
        f"R-Drop: {field} for every example twice are {tuple(logits.shape)}, which do not fit {name} "
        f"{tuple(target.shape)}; it needs one prediction for each target. For other heads take r_drop = 0"
    )
