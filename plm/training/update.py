"""One update: the gradient of the mean over several batches, and a step along it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from plm.errors import TrainingError
from plm.training.adversarial import build_adversary
from plm.training.config import TrainingConfig
from plm.training.distributed import ALONE, Processes, is_sharded
from plm.training.gradient_sum import GradientSum
from plm.training.optimizers import build_optimizer
from plm.training.parameter_groups import freeze
from plm.training.precision import adapt_scale, autocast, check_skipped, gradient_scaler
from plm.training.regularization import RDropStep
from plm.training.shares import Share, shares
from plm.training.step import BOOKKEEPING, Batch, Step, Weights, count_positions, count_tokens
from plm.training.tally import Tally


class Updater:
    """Holds what an update needs: model, step, optimizer, number format.

    step: of the training; with config.r_drop, every example goes through it twice.
    processes: that update together; each has the same model, or its part of a sharded one.
    skipped: updates in a row, up to the last one, whose gradients overflowed in fp16.
    tokens, positions: of the batches of the last update, in all processes; positions count padding too.
    """

    def __init__(self, model: nn.Module, config: TrainingConfig, step: Step, processes: Processes = ALONE) -> None:
        self.model, self.config, self.processes = model, config, processes
        self.step = RDropStep(step, config.r_drop) if config.r_drop else step
        self.tasks: Sequence[str] = getattr(step, "tasks", ())
        self.is_sharded = is_sharded(model)
        self.called = prepared(model, config)
        freeze(model, config.freeze)
        self.adversary = build_adversary(model, config)
        self.optimizer = build_optimizer(model, config)
        self.parameters: list[Tensor] = [p for group in self.optimizer.param_groups for p in group["params"]]
        # The gradients of a sharded model are added up in its backward pass.
        self.gradient_sum = GradientSum(() if self.is_sharded else self.parameters, processes)
        self.device = self.parameters[0].device
        self.peaks: list[float] = [group["lr"] for group in self.optimizer.param_groups]
        self.scaler = gradient_scaler(config.precision, self.device)
        self.skipped = self.tokens = self.positions = 0

    def __call__(self, batches: Sequence[Batch], *, number: int, factor: float) -> dict[str, float]:
        """One step of the optimizer; the same, but for rounding and dropout, as with one batch as large as all of them.

        batches: those of all processes, the same in each; this one asks only for those that it has a share in.
        number: of the update, from 1. factor: what the schedule says, a share of the highest learning rate.
        Returns loss, its parts if they have names of their own, the means of what the step logs, grad_norm (before
        clipping) and learning_rate; in fp16 also loss_scale.
        Raises TrainingError, with the weights untouched, when loss or gradient are not finite; in fp16 such gradients
        only skip the update, until it happens too often.
        """
        self.model.train()
        self.optimizer.zero_grad()  # what an interrupted update may have left
        own = shares(batches, self.processes, in_step=self.is_sharded)
        self._count(own)
        weights = [self._weigh(share) for share in own]
        differentiate = partial(self._differentiate_all, own, weights, number)
        tally = differentiate() if self.adversary is None else self.adversary.passes(differentiate)
        gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        if gradients:
            self.scaler.unscale_(self.optimizer)
        norm = _norm(gradients).to(self.device)
        values = tally.values(norm)
        self._check(values, [share.batch for share in own], tally.losses, number)
        if self.config.max_grad_norm is not None and not values["grad_norm"] <= self.config.max_grad_norm:
            clip_grads_with_norm_(self.parameters, self.config.max_grad_norm, norm)
        for peak, group in zip(self.peaks, self.optimizer.param_groups, strict=True):
            group["lr"] = peak * factor
        if gradients:  # else there was nothing to learn from: no batch has labels
            self.scaler.step(self.optimizer)
            adapt_scale(self.scaler)
        self.optimizer.zero_grad()
        values["learning_rate"] = self.config.learning_rate * factor
        return values | self._note_overflow(values["grad_norm"], number)

    def _count(self, own: Sequence[Share]) -> None:
        """Note tokens and positions."""
        batches = [share.batch for share in own if share.counts]
        counts = {"tokens": sum(map(count_tokens, batches)), "positions": sum(map(count_positions, batches))}
        sums = self.processes.sums(counts)
        self.tokens, self.positions = int(sums["tokens"]), int(sums["positions"])

    def _weigh(self, share: Share) -> Weights:
        weights = self.step.weigh(share.batch)
        return weights if share.counts else dict.fromkeys(weights, 0.0)

    def _differentiate_all(self, own: Sequence[Share], weights: Sequence[Weights], number: int) -> Tally:
        """Fill in the gradient of the whole update, at the weights as they are; the losses are in the tally."""
        tally = Tally(weights, processes=self.processes, counts_all=self.is_sharded)
        for place, share in enumerate(own, 1):
            if place == len(own):
                self.gradient_sum.before_last_backward()
            self._differentiate(share, tally, number)
        self.gradient_sum.finish()
        return tally

    def _differentiate(self, share: Share, tally: Tally, number: int) -> None:
        """Add the gradient of one batch."""
        # Dropout depends on seed, update and place alone: a run that is continued, in however many processes, goes on
        # as if it had never stopped.
        _seed(self.device, self.config.seed, number, *share.place)
        moved = {
            name: tensor if name in BOOKKEEPING else tensor.to(self.device, non_blocking=True)
            for name, tensor in share.batch.items()
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
        """Raise TrainingError naming the update and, when batches carry them, the task and the examples.

        The numbers are those of all processes, so all of them raise it, with the same words.
        """
        is_finite = math.isfinite(values["loss"])
        if is_finite and (math.isfinite(values["grad_norm"]) or self.scaler.is_enabled()):  # it skips such updates
            return
        bad = [[name for name, loss in each.items() if not loss.isfinite()] for each in losses]
        meant = [batch for batch, names in zip(batches, bad, strict=True) if names or is_finite]
        tasks = self.processes.gather([self._task(number) for number in _entries(meant, "task")])
        examples = self.processes.gather(_entries(meant, "index"))
        names = self.processes.gather([name for names in bad for name in names if name != "loss"])
        named = _listed(" ", names)
        trouble = f"the loss{named} is {values['loss']:.4g}{', but its gradient is not finite' if is_finite else ''}"
        raise TrainingError(
            f"update {number}{_listed(', task ', tasks)}{_listed(' on examples ', examples)}: {trouble}. The weights "
            "are those before it. Look at these examples, or take a smaller learning rate, more warmup, or another "
            "precision."
        )

    def _task(self, number: int) -> str:
        return self.tasks[number] if number < len(self.tasks) else str(number)


def prepared(model: nn.Module, config: TrainingConfig) -> nn.Module:
    """What the step calls: the model, computing as config.gradient_checkpointing and config.torch_compile say.

    Raises TrainingError when the model cannot recompute its blocks.
    """
    if config.gradient_checkpointing:
        enable = getattr(model, "gradient_checkpointing_enable", None)
        if enable is None:
            raise TrainingError(
                f"gradient_checkpointing: {type(model).__name__} has no method gradient_checkpointing_enable(); "
                "give it one, or leave this option out"
            )
        cast("Callable[[], None]", enable)()
    return cast("nn.Module", torch.compile(model, dynamic=True)) if config.torch_compile else model


def _norm(gradients: list[Tensor]) -> Tensor:
    """The norm of all gradients together, in each process."""
    norm = get_total_norm(gradients)
    return norm if (whole := getattr(norm, "full_tensor", None)) is None else cast("Tensor", whole())


def _entries(batches: Sequence[Batch], name: str) -> list[int]:
    """The numbers that batches carry under a name."""
    return [number for batch in batches if name in batch for number in batch[name].flatten().tolist()]


def _listed(before: str, found: Sequence[Sequence[object]]) -> str:
    """What the processes found, each once and in order, after some words; empty if nothing."""
    entries = list(dict.fromkeys(entry for each in found for entry in each))
    return f"{before}{', '.join(map(str, entries[:32]))}{', ...' if len(entries) > 32 else ''}" if entries else ""


def _seed(device: torch.device, *numbers: int) -> None:
    """Set the random state that dropout draws from to a function of numbers; neighbours have nothing in common."""
    mixed = int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])
    # Not torch.manual_seed: it also queues seeds for every kind of device that is not in use, which takes longer.
    torch.default_generator.manual_seed(mixed)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index].manual_seed(mixed)
