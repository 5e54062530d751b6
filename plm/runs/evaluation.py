"""What a model scores on the examples of a task."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from plm.tasks import AnyTask
from plm.training import Batch, Precision, outputs


@dataclass(frozen=True)
class TaskEvaluation:
    """The answers of a model to the examples of a task, and their metrics, for Trainer(evaluate=...).

    batches: of all features, read anew each time.
    """

    task: AnyTask
    examples: Sequence[Any]
    features: Sequence[Any]
    batches: Iterable[Batch]
    precision: Precision = "fp32"

    def __call__(self, model: nn.Module) -> dict[str, float]:
        """The metrics by name; the first one judges."""
        return self.task.score(self.examples, self.answers(model))

    def answers(self, model: nn.Module) -> list[Any]:
        """One answer for each example, in order."""
        results: dict[int, Any] = {}
        for batch, output in outputs(model, self.batches, precision=self.precision):
            results |= self.task.results(batch, output)
        return self.task.answers(self.examples, self.features, results)
