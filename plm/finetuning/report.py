"""What comes out of a fine-tuning besides the model: an account, and the predictions for the dev file."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from plm.data import Example
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
    rows = ["line\tlabel\tpredicted\tprobability"]
    for example, row in zip(examples, logits, strict=True):
        if problem_type == "regression":
            predicted, probability = f"{float(row[0]):.6g}", ""
        elif problem_type == "multi_label_classification":
            chosen = [place for place, value in enumerate(row.tolist()) if value > 0]
            predicted = "|".join(labels[place] for place in chosen)
            probability = "|".join(f"{float(row[place].sigmoid()):.4f}" for place in chosen)
        else:
            best = int(row.argmax())
            predicted, probability = labels[best], f"{float(row.softmax(0)[best]):.4f}"
        label = "|".join(example.label) if isinstance(example.label, tuple) else example.label
        rows.append(f"{example.line}\t{label}\t{predicted}\t{probability}")
    return "\n".join(rows) + "\n"
