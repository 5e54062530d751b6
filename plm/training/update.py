"""One update: the gradient of the mean over several batches, and a step along it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from plm.errors import TrainingError
from plm.training.config import TrainingConfig
from plm.training.optimizers import build_optimizer
from plm.training.precision import autocast, gradient_scaler
from plm.training.step import Batch, Step, StepResult


class Updater:
    """Holds what an update needs: model, step, optimizer, number format."""

    def __init__(self, model: nn.Module, config: TrainingConfig, step: Step) -> None:
        self.model, self.config, self.step = model, config, step
        self.optimizer = build_optimizer(
            model, name=config.optimizer, learning_rate=config.learning_rate, weight_decay=config.weight_decay
        )
        self.parameters: list[Tensor] = [p for group in self.optimizer.param_groups for p in group["params"]]
        self.device = self.parameters[0].device
        self.peaks: list[float] = [group["lr"] for group in self.optimizer.param_groups]
        self.scaler = gradient_scaler(config.precision, self.device)

    def __call__(self, batches: Sequence[Batch], *, number: int, factor: float) -> dict[str, float]:
        """One step of the optimizer; the same, but for rounding and dropout, as with one batch as large as all of them.

        number: of the update, from 1. factor: what the schedule says, a share of the highest learning rate.
        Returns loss, grad_norm (before clipping), learning_rate and the means of what the step logs.
        Raises TrainingError, with the weights untouched, when loss or gradient are not finite.
        """
        # Dropout depends on seed and update alone: a run continued from any update goes on as if it had never stopped.
        _seed(self.device, self.config.seed, number)
        self.model.train()
        self.optimizer.zero_grad()  # what an interrupted update may have left
        means = _Means()
        for batch in batches:
            moved = {name: tensor.to(self.device, non_blocking=True) for name, tensor in batch.items()}
            with autocast(self.config.precision, self.device):
                result = self.step(self.model, moved)
            torch.autograd.backward(self.scaler.scale(means.add(result)))
        self.scaler.unscale_(self.optimizer)
        gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        if len(batches) > 1:
            torch._foreach_mul_(gradients, means.share)
        norm = get_total_norm(gradients)
        values = means.values(norm)
        self._check(values, batches, number, means.losses)
        if self.config.max_grad_norm is not None:
            clip_grads_with_norm_(self.parameters, self.config.max_grad_norm, norm)
        for peak, group in zip(self.peaks, self.optimizer.param_groups, strict=True):
            group["lr"] = peak * factor
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        return values | {"learning_rate": self.peaks[0] * factor}

    def _check(self, values: dict[str, float], batches: Sequence[Batch], number: int, losses: list[Tensor]) -> None:
        """Raise TrainingError naming the update and, when batches carry their index, the examples."""
        if not math.isfinite(values["loss"]):
            trouble = f"the loss is {values['loss']}"
            batches = [batch for batch, loss in zip(batches, losses, strict=True) if not loss.isfinite()] or batches
        elif not math.isfinite(values["grad_norm"]) and not self.scaler.is_enabled():  # the scaler skips such updates
            trouble = f"the loss is {values['loss']:.4g}, but its gradient is not finite"
        else:
            return
        examples = [str(index) for batch in batches if "index" in batch for index in batch["index"].tolist()]
        listed = f" on examples {', '.join(examples[:32])}{', ...' if len(examples) > 32 else ''}" if examples else ""
        raise TrainingError(
            f"update {number}{listed}: {trouble}. The weights are those before it. "
            "Look at these examples, or take a smaller learning rate, more warmup, or another precision."
        )


@dataclass
class _Means:
    """Weighted means over the batches of one update; nothing waits for the device before `values`."""

    losses: list[Tensor] = field(default_factory=list)
    weights: list[Tensor] = field(default_factory=list)
    logs: dict[str, list[tuple[Tensor, Tensor]]] = field(default_factory=dict)

    def add(self, result: StepResult) -> Tensor:
        """Note a result. Returns what to differentiate: the loss, times its weight in units of the first one.

        In these units the gradients keep their size, which fp16 needs; `share` turns their sum into the mean.
        """
        weight = _scalar(result.weight, result.loss)
        self.losses.append(_scalar(result.loss, result.loss))
        self.weights.append(weight)
        for name, value in result.logs.items():
            self.logs.setdefault(name, []).append((_scalar(value, result.loss), weight))
        return result.loss * (weight / _or_one(self.weights[0]))

    @property
    def share(self) -> Tensor:
        """The first weight, as a share of all."""
        return _or_one(self.weights[0]) / _or_one(torch.stack(self.weights).sum())

    def values(self, grad_norm: Tensor) -> dict[str, float]:
        """Everything as numbers, fetched from the device at once."""
        columns = {"loss": list(zip(self.losses, self.weights, strict=True)), **self.logs}
        tensors = {name: _weighted_mean(rows) for name, rows in columns.items()}
        tensors["grad_norm"] = _scalar(grad_norm, self.losses[0])
        return dict(zip(tensors, torch.stack(list(tensors.values())).tolist(), strict=True))


def _weighted_mean(rows: list[tuple[Tensor, Tensor]]) -> Tensor:
    total = torch.stack([weight for _, weight in rows]).sum()
    return torch.stack([value * weight for value, weight in rows]).sum() / _or_one(total)


def _or_one(weight: Tensor) -> Tensor:
    """The weight; 1 instead of 0, the weight of a batch without labels, so that it can be divided by."""
    return torch.where(weight > 0, weight, torch.ones_like(weight))


def _scalar(value: float | Tensor, like: Tensor) -> Tensor:
    return torch.as_tensor(value, dtype=torch.float32, device=like.device).detach()


def _seed(device: torch.device, seed: int, number: int) -> None:
    """Set the random state that dropout draws from to a function of two numbers; neighbours have nothing in common."""
    mixed = int(np.random.SeedSequence((seed, number)).generate_state(1, np.uint64)[0])
    # Not torch.manual_seed: it also queues seeds for every kind of device that is not in use, which takes longer.
    torch.default_generator.manual_seed(mixed)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index].manual_seed(mixed)
