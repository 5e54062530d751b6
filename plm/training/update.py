"""One update: the gradient of the mean over several batches, and a step along it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from plm.errors import TrainingError
from plm.training.config import TrainingConfig
from plm.training.optimizers import build_optimizer
from plm.training.parameter_groups import freeze
from plm.training.precision import adapt_scale, autocast, check_skipped, gradient_scaler
from plm.training.step import BOOKKEEPING, Batch, Step
from plm.training.tally import Tally


class Updater:
    """Holds what an update needs: model, step, optimizer, number format.

    skipped: updates in a row, up to the last one, whose gradients overflowed in fp16.
    """

    def __init__(self, model: nn.Module, config: TrainingConfig, step: Step) -> None:
        self.model, self.config, self.step = model, config, step
        self.called = prepared(model, config)
        freeze(model, config.freeze)
        self.optimizer = build_optimizer(model, config)
        self.parameters: list[Tensor] = [p for group in self.optimizer.param_groups for p in group["params"]]
        self.device = self.parameters[0].device
        self.peaks: list[float] = [group["lr"] for group in self.optimizer.param_groups]
        self.scaler = gradient_scaler(config.precision, self.device)
        self.skipped = 0

    def __call__(self, batches: Sequence[Batch], *, number: int, factor: float) -> dict[str, float]:
        """One step of the optimizer; the same, but for rounding and dropout, as with one batch as large as all of them.

        number: of the update, from 1. factor: what the schedule says, a share of the highest learning rate.
        Returns loss, its parts if there are several, the means of what the step logs, grad_norm (before clipping) and
        learning_rate; in fp16 also loss_scale.
        Raises TrainingError, with the weights untouched, when loss or gradient are not finite; in fp16 such gradients
        only skip the update, until it happens too often.
        """
        self.model.train()
        self.optimizer.zero_grad()  # what an interrupted update may have left
        tally = Tally(self.step.weigh(batch) for batch in batches)
        for place, batch in enumerate(batches):
            self._differentiate(batch, tally, number=number, place=place)
        gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        if gradients:
            self.scaler.unscale_(self.optimizer)
        norm = get_total_norm(gradients).to(self.device)
        values = tally.values(norm)
        self._check(values, batches, tally.losses, number)
        if self.config.max_grad_norm is not None:
            clip_grads_with_norm_(self.parameters, self.config.max_grad_norm, norm)
        for peak, group in zip(self.peaks, self.optimizer.param_groups, strict=True):
            group["lr"] = peak * factor
        if gradients:  # else there was nothing to learn from: no batch has labels
            self.scaler.step(self.optimizer)
            adapt_scale(self.scaler)
        self.optimizer.zero_grad()
        values["learning_rate"] = self.config.learning_rate * factor
        return values | self._note_overflow(values["grad_norm"], number)

    def _differentiate(self, batch: Batch, tally: Tally, *, number: int, place: int) -> None:
        """Add the gradient of one batch. place: of the batch in its update, from 0."""
        # Dropout depends on seed, update and place alone: a run continued from any update goes on as if never stopped.
        _seed(self.device, self.config.seed, number, place)
        moved = {
            name: tensor if name in BOOKKEEPING else tensor.to(self.device, non_blocking=True)
            for name, tensor in batch.items()
        }
        with autocast(self.config.precision, self.device):
            result = self.step(self.called, moved)
        loss = tally.add(result)
        if loss is not None:
            torch.autograd.backward(self.scaler.scale(loss))

    def _note_overflow(self, grad_norm: float, number: int) -> dict[str, float]:
        if not self.scaler.is_enabled():
            return {}
        self.skipped = 0 if math.isfinite(grad_norm) else self.skipped + 1
        scale = self.scaler.get_scale()
        check_skipped(self.skipped, update=number, scale=scale)
        return {"loss_scale": scale}

    def _check(
        self, values: dict[str, float], batches: Sequence[Batch], losses: list[dict[str, Tensor]], number: int
    ) -> None:
        """Raise TrainingError naming the update and, when batches carry them, the task and the examples."""
        if not math.isfinite(values["loss"]):
            bad = [[name for name, loss in each.items() if not loss.isfinite()] for each in losses]
            named = {name for names in bad for name in names} - {"loss"}
            trouble = f"the loss{_listed(' ', sorted(named))} is {values['loss']}"
            batches = [batch for batch, names in zip(batches, bad, strict=True) if names] or batches
        elif not math.isfinite(values["grad_norm"]) and not self.scaler.is_enabled():  # the scaler skips such updates
            trouble = f"the loss is {values['loss']:.4g}, but its gradient is not finite"
        else:
            return
        raise TrainingError(
            f"update {number}{_listed(', task ', _entries(batches, 'task'))}"
            f"{_listed(' on examples ', _entries(batches, 'index'))}: {trouble}. The weights are those before it. "
            "Look at these examples, or take a smaller learning rate, more warmup, or another precision."
        )


def prepared(model: nn.Module, config: TrainingConfig) -> nn.Module:
    """What the step calls: the model, computing as config.gradient_checkpointing and config.torch_compile say.

    Raises TrainingError when the model cannot recompute its blocks.
    """
    if config.gradient_checkpointing:
        enable = getattr(model, "gradient_checkpointing_enable", None)
        if enable is None:
            raise TrainingError(
                f"gradient_checkpointing: {type(model).__name__} has no gradient_checkpointing_enable(); give it "
                "one, or leave this option out"
            )
        cast("Callable[[], None]", enable)()
    return cast("nn.Module", torch.compile(model, dynamic=True)) if config.torch_compile else model


def _entries(batches: Sequence[Batch], name: str) -> list[str]:
    """The numbers that batches carry under a name, each once, in order."""
    numbers = [number for batch in batches if name in batch for number in batch[name].flatten().tolist()]
    return [str(number) for number in dict.fromkeys(numbers)]


def _listed(before: str, names: Sequence[str]) -> str:
    """The first names after some words; empty without names."""
    return f"{before}{', '.join(names[:32])}{', ...' if len(names) > 32 else ''}" if names else ""


def _seed(device: torch.device, *numbers: int) -> None:
    """Set the random state that dropout draws from to a function of numbers; neighbours have nothing in common."""
    mixed = int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])
    # Not torch.manual_seed: it also queues seeds for every kind of device that is not in use, which takes longer.
    torch.default_generator.manual_seed(mixed)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index].manual_seed(mixed)
