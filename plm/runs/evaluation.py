"""What a model scores on the examples of a task."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from plm.data.fingerprint import facts
from plm.runs.encoding import Encoded
from plm.tasks import AnyTask
from plm.training import Batch, Precision
from plm.training.distributed import Processes, join
from plm.training.evaluation import collect


@dataclass(frozen=True)
class TaskEvaluation:
    """The answers of a model to the examples of a task, and their metrics, for Trainer(evaluate=...).

    batches: of all features, read anew each time. processes: that share the work; None = those that torchrun started.
    """

    task: AnyTask
    examples: Sequence[Any]
    features: Sequence[Any]
    batches: Iterable[Batch]
    precision: Precision = "fp32"
    processes: Processes | None = None

    @classmethod
    def of(cls, task: AnyTask, encoded: Encoded, precision: Precision = "fp32") -> TaskEvaluation:
        """That of a split."""
        return cls(task, encoded.examples, encoded.features, encoded.batches.epoch(0), precision)

    def __call__(self, model: nn.Module) -> dict[str, float]:
        """The metrics by name; the first one judges."""
        return self.score(self.answers(model))

    def score(self, answers: Sequence[Any]) -> dict[str, float]:
        """The metrics of answers."""
        return self.task.score(self.examples, answers)

    def fingerprint(self) -> dict[str, int | str]:
        """Facts that tell these examples from others."""
        return facts(self.batches)

    def answers(self, model: nn.Module) -> list[Any]:
        """One answer for each example, in order."""
        processes = join() if self.processes is None else self.processes
        results = collect(model, self.batches, self.task.results, precision=self.precision, processes=processes)
        return self.task.answers(self.examples, self.features, results)
