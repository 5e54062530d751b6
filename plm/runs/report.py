"""What comes out of a run besides the model: an account, and the predictions for the dev file."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from plm.data.tsv import tsv_row
from plm.runs.config import ONLY
from plm.runs.lessons import ByTask, Lessons
from plm.tasks import AnyTask
from plm.training import TrainingReport
from plm.training.mixture_evaluation import side_by_side, together


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """How it went; `lines()` is what people read.

    scores: of the model that was saved, by split ("dev", "test") and task; nothing after SIGTERM. judged: which of
    several tasks the mean is over; () = there is one task. training: updates, speed in real tokens, history.
    parameters: of the model. notes: what else there is to know.
    """

    output_dir: Path
    scores: Mapping[str, Mapping[str, Mapping[str, float]]]
    training: TrainingReport
    parameters: int
    judged: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def metrics(self) -> dict[str, float]:
        """On the dev files: by name; of several tasks by "task/name", after "macro", the mean of their first ones."""
        scores = self.scores.get("dev", {})
        return together(scores, judged=self.judged) if self.judged and scores else flat(scores)

    @property
    def test_metrics(self) -> dict[str, float]:
        """The same on the test files of the tasks that have one."""
        return flat(self.scores.get("test", {}))

    def lines(self) -> list[str]:
        """The account, one fact a line."""
        training = self.training
        return [
            f"{self.output_dir}: {self.parameters:,} parameters",
            f"training: {training.stopped} after {training.updates} updates, {training.epochs:.1f} epochs, "
            f"{training.seconds:.0f} s, {training.tokens_per_second:,.0f} tokens/s",
            *(
                f"{split} {name}: {value:.4f}"
                for split, metrics in (("dev", self.metrics), ("test", self.test_metrics))
                for name, value in metrics.items()
            ),
            *(f"note: {note}" for note in self.notes),
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, without the history, which train_log.jsonl has; None = not a finite number."""
        training = {name: value for name, value in dataclasses.asdict(self.training).items() if name != "history"}
        values = {
            "output_dir": str(self.output_dir),
            "metrics": self.metrics,
            "test_metrics": self.test_metrics,
            "training": training,
            "parameters": self.parameters,
            "notes": list(self.notes),
        }
        return {name: finite(value) for name, value in values.items()}


def flops_per_token(model: nn.Module) -> float:
    """Floating-point operations of training on one token, without attention's own: 6 for each weight in a matrix.

    A third of them are those of the forward pass.
    """
    return 6.0 * sum(part.weight.numel() for part in model.modules() if isinstance(part, nn.Linear))


def finite(value: Any) -> Any:
    """JSON values with None for nan and infinity, which JSON does not know, such as the perplexity of a lost model."""
    if isinstance(value, Mapping):
        return {name: finite(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def flat(scores: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Metrics of tasks as one table: by name, or by "task/name" where there are several tasks."""
    return dict(scores[ONLY]) if ONLY in scores else side_by_side(scores)


def prediction_files(lessons: Lessons, answers: ByTask[Sequence[Any]]) -> dict[str, str]:
    """Name -> content of the files of predictions of each split, and of each task where there are several.

    A table for people, and what the official evaluator of the task reads, if there is one.
    """
    files = {}
    for split, own in answers.items():
        for name, said in own.items():
            one = lessons.evaluations[split][name]
            prefix = f"{split}_" if lessons.mixture is None else f"{name}_{split}_"
            files[f"{prefix}predictions.tsv"] = predictions_table(one.task, one.examples, said)
            official = one.task.answer_files(one.examples, said)
            files |= {f"{prefix}{file}": content for file, content in official.items()}
    return files


def predictions_table(task: AnyTask, examples: Sequence[Any], answers: Sequence[Any]) -> str:
    """A tsv with a header and a line for each example: where it stands, what was expected, what was answered."""
    records = [task.record(example, answer) for example, answer in zip(examples, answers, strict=True)]
    return "".join(f"{tsv_row(row)}\n" for row in [list(records[0]), *(record.values() for record in records)])
