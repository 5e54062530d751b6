"""What a model scores on several tasks, and on all of them together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from plm.data.fingerprint import facts
from plm.errors import ConfigError, TrainingError, did_you_mean
from plm.training.mixture_step import OneHead

MACRO = "macro"


@dataclass(frozen=True)
class MixtureEvaluation:
    """The results of every task and their mean, for Trainer(evaluate=...).

    evaluations: by task; each gets the model with the head of that name alone, and its first result is what counts.
    judged: tasks that the mean is over; () = all. Leave out auxiliary tasks.
    """

    evaluations: Mapping[str, Callable[[nn.Module], Mapping[str, float]]]
    judged: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.evaluations:
            raise ConfigError("there are no tasks to evaluate")
        for name in self.judged:
            if name not in self.evaluations:
                raise ConfigError(f"judged: no task {name!r}{did_you_mean(name, self.evaluations)}")

    def __call__(self, model: nn.Module) -> dict[str, float]:
        """ "macro", the mean of the first result of each task judged, then every result as "slots/f1".

        The first one is what the Trainer judges by if not told. Raises TrainingError for a task without results.
        """
        results = {name: dict(evaluate(OneHead(model, name))) for name, evaluate in self.evaluations.items()}
        return together(results, judged=self.judged)

    def fingerprint(self) -> dict[str, int | str]:
        """Facts that tell the examples of all tasks from others, where their evaluations have such."""
        told: dict[str, int | str] = {}
        for name, evaluate in self.evaluations.items():
            told |= facts(evaluate, of=f"{name}: ")
        return told


def together(results: Mapping[str, Mapping[str, float]], *, judged: Sequence[str] = ()) -> dict[str, float]:
    """The results of several tasks as one table, see MixtureEvaluation."""
    if silent := [name for name, found in results.items() if not found]:
        raise TrainingError(f"the evaluation of the task {silent[0]!r} returned nothing")
    firsts = [next(iter(results[name].values())) for name in judged or results]
    return {MACRO: sum(firsts) / len(firsts)} | side_by_side(results)


def side_by_side(results: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """The results of several tasks as one table, by "task/name"."""
    return {f"{task}/{name}": value for task, found in results.items() for name, value in found.items()}
