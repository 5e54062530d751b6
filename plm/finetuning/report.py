"""What comes out of a fine-tuning besides the model: an account, and the predictions for the dev file."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from plm.data import Example
from plm.data.tsv import tsv_row
from plm.metrics.classification import ProblemType
from plm.training import TrainingReport


@dataclass(frozen=True, kw_only=True)
class FinetuneReport:
    """How it went; `lines()` is what people read.

    labels: the classes, in the order of the model's outputs. metrics: on the dev file, of the model that was saved.
    training: updates, speed in real tokens, history. parameters: of the model. notes: what else there is to know.
    """

    output_dir: Path
    labels: tuple[str, ...]
    metrics: dict[str, float]
    training: TrainingReport
    parameters: int
    notes: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """The account, one fact a line."""
        training = self.training
        return [
            f"{self.output_dir}: {self.parameters:,} parameters, labels {', '.join(self.labels)}",
            f"training: {training.stopped} after {training.updates} updates, {training.epochs:.1f} epochs, "
            f"{training.seconds:.0f} s, {training.tokens_per_second:,.0f} tokens/s",
            *(f"{name}: {value:.4f}" for name, value in self.metrics.items()),
            *(f"note: {note}" for note in self.notes),
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, without the history, which train_log.jsonl has."""
        training = {name: value for name, value in dataclasses.asdict(self.training).items() if name != "history"}
        return {
            "output_dir": str(self.output_dir),
            "labels": list(self.labels),
            "metrics": self.metrics,
            "training": training,
            "parameters": self.parameters,
            "notes": list(self.notes),
        }


def predictions_table(
    examples: Sequence[Example], logits: Tensor, problem_type: ProblemType, labels: Sequence[str]
) -> str:
    """A tsv: the line in the file, the label there, the predicted one, and its probability (none for numbers).

    logits: (examples, outputs). Several labels of one text stand between "|".
    """
    say = _ANSWERS[problem_type]
    lines = [tsv_row(("line", "label", "predicted", "probability"))]
    for example, row in zip(examples, logits, strict=True):
        label = "|".join(example.label) if isinstance(example.label, tuple) else example.label
        lines.append(tsv_row((example.line, label, *say(row, labels))))
    return "\n".join(lines) + "\n"


def _one_class(logits: Tensor, labels: Sequence[str]) -> tuple[str, str]:
    chances = logits.softmax(0)
    best = int(chances.argmax())
    return labels[best], f"{float(chances[best]):.4f}"


def _several_classes(logits: Tensor, labels: Sequence[str]) -> tuple[str, str]:
    chosen = [place for place, value in enumerate(logits.tolist()) if value > 0]
    chances = logits.sigmoid().tolist()
    return "|".join(labels[place] for place in chosen), "|".join(f"{chances[place]:.4f}" for place in chosen)


def _number(logits: Tensor, labels: Sequence[str]) -> tuple[str, str]:
    return f"{float(logits[0]):.6g}", ""


# (outputs of one text, class names) -> what is predicted, its probability
_ANSWERS: Mapping[ProblemType, Callable[[Tensor, Sequence[str]], tuple[str, str]]] = {
    "single_label_classification": _one_class,
    "multi_label_classification": _several_classes,
    "regression": _number,
}
