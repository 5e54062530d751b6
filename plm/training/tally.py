"""The losses of one update: means over all its batches, as if they were one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from plm.errors import TrainingError
from plm.training.distributed import ALONE, Processes
from plm.training.step import StepResult, Weights

# How parts of a loss are logged whose own name is that of the whole.
_PART_NAMES = {"loss": "task_loss"}


class Tally:
    """Weighs the losses of the batches of an update before they are differentiated, and keeps them for the log.

    weights: what the step says of each batch that this process has. All processes make their tallies together.
    counts_all: True = a loss that is a mean over nothing here, but not in the whole update, is differentiated too, with
        weight 0; so that all processes do.

    A loss is divided by the weight of the whole update before its backward pass, so that gradients add up to their mean
    and never have to be rescaled, which with several denominators could not be done. The gradient of every token then
    has the size that it has in one large batch, so fp16 holds the one as well as the other: its loss scale adapts to
    the sizes that it meets.
    """

    def __init__(self, weights: Iterable[Weights], *, processes: Processes = ALONE, counts_all: bool = False) -> None:
        self.processes, self.counts_all = processes, counts_all
        self.weights = [{name: float(weight) for name, weight in each.items()} for each in weights]
        self.totals = processes.sums(_sums((name, weight) for each in self.weights for name, weight in each.items()))
        self.losses: list[dict[str, Tensor]] = []
        self._parts: list[tuple[str, Tensor]] = []
        self._logs: list[tuple[str, Tensor, float]] = []

    def add(self, result: StepResult) -> Tensor | None:
        """Note the result of the next batch. Returns its part in the loss of the update, to be differentiated.

        A loss of weight 0, the mean over nothing, does not count, whatever it is, even nan; None = nothing counts.
        Raises TrainingError when the result does not hold the losses that were weighed, or a log is named like a loss.
        """
        weights = self.weights[len(self.losses)]
        self._check_names(result, weights)
        counts = {
            name: self.totals[name] > 0.0 if self.counts_all else weight > 0.0 for name, weight in weights.items()
        }
        counted = {name: loss for name, loss in result.losses.items() if counts[name]}
        parts = [loss * (weights[name] / self.totals[name]) for name, loss in counted.items()]
        self.losses.append({name: loss.detach() for name, loss in counted.items()})
        self._parts += [(name, part.detach().float()) for name, part in zip(counted, parts, strict=True)]
        for name, value in result.logs.items():
            weight = weights.get(name.rpartition(".")[0], next(iter(weights.values()), 0.0))
            self._logs.append((name, torch.as_tensor(value, dtype=torch.float32).detach() * weight, weight))
        return torch.stack(parts).sum() if parts else None

    def values(self, grad_norm: Tensor) -> dict[str, float]:
        """The loss, its parts if they have names of their own, the means of the logs, grad_norm.

        Waits for the device, once.
        """
        rows = [*self._parts, *((name, value) for name, value, _ in self._logs)]
        tensors = [value.to(grad_norm.device, torch.float32) for value in (grad_norm, *(value for _, value in rows))]
        norm, *numbers = torch.stack(tensors).tolist()
        sums = self.processes.sums(_sums((name, number) for (name, _), number in zip(rows, numbers, strict=True)))
        weights = self.processes.sums(_sums((name, weight) for name, _, weight in self._logs))
        parts = {_PART_NAMES.get(name, name): sums.get(name, 0.0) for name in self.totals}
        logs = {name: sums[name] / (weight or 1.0) for name, weight in weights.items()}
        shown = {} if list(self.totals) == ["loss"] else parts
        return {"loss": sum(parts.values()), **shown, **logs, "grad_norm": norm}

    def _check_names(self, result: StepResult, weights: Mapping[str, float]) -> None:
        if result.losses.keys() != weights.keys():
            raise TrainingError(
                f"the step weighed the losses {_listed(weights)} and returned {_listed(result.losses)}: "
                "weigh(batch) and the result must name the same"
            )
        if taken := result.logs.keys() & {"loss", "grad_norm", *_PART_NAMES.values(), *self.totals}:
            raise TrainingError(f"the step logs {_listed(taken)}, which is the name of a loss: take another")


def _sums(rows: Iterable[tuple[str, float]]) -> dict[str, float]:
    sums: dict[str, float] = {}
    for name, number in rows:
        sums[name] = sums.get(name, 0.0) + number
    return sums


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names)) or "nothing"
