"""Texts or pairs of texts: one class each, several, or a number."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from plm.blocks.labels import IGNORED_LABEL
from plm.config import require_distinct
from plm.data.collate import pad_batch
from plm.data.features.classification import Feature, encode_examples
from plm.data.folders import read_folder
from plm.data.labels import LabelSet, collect_labels
from plm.data.readers import Columns, Example, read_examples, read_parallel
from plm.errors import DataError
from plm.metrics.classification import (
    DEFAULT_METRICS,
    METRICS,
    ProblemType,
    compute_metrics,
    decide,
    torchmetrics,
)
from plm.tasks.task import TASKS, Batch, Task
from plm.tokenizers import Tokenizer

Logits = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Decision:
    """What a classifier says about one text.

    label: the class; several as a tuple; the number. probability: of each of them, None for a number.
    logits: (outputs,), float32.
    """

    label: str | tuple[str, ...] | float
    probability: float | tuple[float, ...] | None
    logits: Logits


@dataclass(frozen=True, kw_only=True)
class Classification(Task[Example, Feature, Logits, Decision]):
    """Sequence classification of tsv, csv and jsonl files; of folders with one file a text in a folder for each label
    (IMDb); and of folders with two files that agree line by line (ATIS, SNIPS).

    text, pair, label: columns: names of line 1, JSON keys or numbers from 0; label None = there is none, as in files to
        predict. label_separator: splits a cell with several labels. format, header: as plm.data.read_examples.
    text_file, label_file: of a folder with two files.
    problem_type: one class a text, several, or a number.
    labels: the classes in the order of the model's outputs; None = those of the training file, sorted.
    unknown_labels: "error" = a label that is no class is one; "miss" = such texts are not trained on, and are wrong in
        the scores.
    metrics: names in METRICS, the one that judges first; None = the usual ones.
    """

    text: str | int = "text"
    pair: str | int | None = None
    label: str | int | None = "label"
    label_separator: str | None = None
    format: str | None = None
    header: bool | None = None
    text_file: str = "seq.in"
    label_file: str = "label"
    problem_type: ProblemType = "single_label_classification"
    labels: tuple[str, ...] | None = None
    unknown_labels: Literal["error", "miss"] = "error"
    metrics: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        for name in self.metrics or ():
            METRICS.get(name)
        require_distinct(self, "labels")

    @property
    def head(self) -> str:
        """One decision a text."""
        return "sequence_classification"

    @property
    def columns(self) -> Columns:
        """Which column of the files holds what."""
        return Columns(text=self.text, pair=self.pair, label=self.label, label_separator=self.label_separator)

    def read(self, path: Path | str) -> list[Example]:
        """See Task."""
        path = Path(path)
        if not path.is_dir():
            return read_examples(path, self.columns, format=self.format, header=self.header)
        texts, labels = path / self.text_file, path / self.label_file
        if texts.exists():
            return read_parallel(texts, labels if labels.exists() else None)
        return read_folder(path)

    def unlabelled(self) -> Classification:
        """See Task."""
        return dataclasses.replace(self, label=None)

    def learned(self, examples: Sequence[Example], *, source: str = "examples") -> Classification:
        """The same with its classes. Raises DataError when there are fewer than two."""
        if self.problem_type == "regression" or self.labels is not None:
            return self
        names = collect_labels(examples, source=source)
        if len(names) < 2:
            listed = ", ".join(map(repr, names)) or "none"
            raise DataError(f"{source}: expected several classes to tell apart, got {listed}")
        return dataclasses.replace(self, labels=names)

    def check(self, examples: Sequence[Example], *, source: str = "examples") -> None:
        """See Task. Raises DataError also where no label is a class of the model, and BackendUnavailable where `score`
        could not be computed, which else would be known only after the first epoch."""
        torchmetrics()
        targets = self._label_set.encode(examples, source=source)
        if self.problem_type == "single_label_classification" and all(target == IGNORED_LABEL for target in targets):
            raise DataError(f"{source}: none of the labels is one of {', '.join(self._label_set.names[:20])}")

    def model_options(self) -> dict[str, Any]:
        """The names of the outputs, and what they mean."""
        return {"id2label": dict(enumerate(self.output_names)), "problem_type": self.problem_type}

    @property
    def output_names(self) -> tuple[str, ...]:
        """The classes, or for regression the name of the column."""
        if self.problem_type == "regression":
            return (self.label if isinstance(self.label, str) else "score",)
        return self._label_set.names

    @property
    def feature_type(self) -> type[Feature] | None:
        """See Task."""
        return Feature

    @property
    def decision(self) -> Literal["single", "multi", "choice"] | None:
        """See Task; None for regression."""
        return _DECISIONS[self.problem_type]

    def class_counts(self, examples: Sequence[Example]) -> Sequence[int] | None:
        """See Task; None for regression."""
        if self.problem_type == "regression":
            return None
        targets = np.asarray(self._label_set.encode(examples))
        if self.problem_type == "multi_label_classification":
            return [int(count) for count in targets.sum(axis=0)]
        counted = targets[targets != IGNORED_LABEL]
        return [int(count) for count in np.bincount(counted, minlength=len(self._label_set.names))]

    def encode(
        self,
        examples: Sequence[Example],
        tokenizer: Tokenizer,
        *,
        max_length: int,
        source: str = "examples",
        has_labels: bool = True,
    ) -> list[Feature]:
        """See Task; one feature for each example."""
        labels = self._label_set if has_labels else None
        return encode_examples(examples, tokenizer, labels=labels, max_length=max_length, source=source)

    def collate(self, features: Sequence[Feature], *, pad_token_id: int) -> dict[str, Tensor]:
        """See plm.data.pad_batch."""
        return pad_batch(features, pad_token_id=pad_token_id)

    def results(self, batch: Batch, output: Any) -> dict[int, Logits]:
        """The logits of each text."""
        rows = output.logits.to("cpu", torch.float32).numpy()
        return dict(zip(batch["index"].tolist(), rows, strict=True))

    def answers(
        self, examples: Sequence[Example], features: Sequence[Feature], results: Mapping[int, Logits]
    ) -> list[Decision]:
        """See Task."""
        say = partial(_SAY[self.problem_type], names=self.output_names)
        return [say(results[feature.index]) for feature in features]

    def score(self, examples: Sequence[Example], answers: Sequence[Decision]) -> dict[str, float]:
        """The metrics by name, and "loss", the mean over all examples."""
        targets = np.asarray(self._label_set.encode(examples))
        logits = np.stack([answer.logits for answer in answers])
        names = self.metrics or DEFAULT_METRICS[self.problem_type]
        # labels that no output stands for are a class of their own, which nobody predicts
        expected = np.where(targets == IGNORED_LABEL, logits.shape[-1], targets)
        metrics = compute_metrics(names, decide(logits, self.problem_type), expected)
        return metrics | {"loss": float(_LOSSES[self.problem_type](torch.from_numpy(logits), torch.as_tensor(targets)))}

    def record(self, example: Example, answer: Decision) -> dict[str, Any]:
        """See Task."""
        return {
            "id": example.id,
            "line": example.line,
            "label": example.label,
            "predicted": answer.label,
            "probability": answer.probability,
        }

    @property
    def _label_set(self) -> LabelSet:
        if self.problem_type == "regression":
            return LabelSet((), self.problem_type)
        if self.labels is None:
            raise DataError("the classes are not known yet: give labels=, or take task.learned(examples)")
        return LabelSet(self.labels, self.problem_type, self.unknown_labels)


def _one_class(logits: Logits, names: Sequence[str]) -> Decision:
    chances = np.exp(logits - logits.max())
    best = int(chances.argmax())
    return Decision(names[best], float(chances[best] / chances.sum()), logits)


def _several_classes(logits: Logits, names: Sequence[str]) -> Decision:
    chances = 0.5 + 0.5 * np.tanh(logits / 2)  # the sigmoid, without overflow
    chosen = np.flatnonzero(logits > 0)
    return Decision(tuple(names[int(place)] for place in chosen), tuple(chances[chosen].tolist()), logits)


def _number(logits: Logits, names: Sequence[str]) -> Decision:
    return Decision(float(logits[0]), None, logits)


_DECISIONS: Mapping[str, Literal["single", "multi"] | None] = {
    "single_label_classification": "single",
    "multi_label_classification": "multi",
    "regression": None,
}

_SAY: Mapping[str, Any] = {
    "single_label_classification": _one_class,
    "multi_label_classification": _several_classes,
    "regression": _number,
}

_LOSSES: Mapping[str, Any] = {
    "single_label_classification": F.cross_entropy,
    "multi_label_classification": lambda logits, labels: F.binary_cross_entropy_with_logits(logits, labels.float()),
    "regression": lambda logits, labels: F.mse_loss(logits.squeeze(-1), labels.float()),
}

TASKS.add("classification", Classification)
