"""Written labels to the numbers that a model is trained on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from plm.blocks.labels import IGNORED_LABEL
from plm.data.readers import Example
from plm.errors import DataError, did_you_mean
from plm.metrics.classification import ProblemType

Target = int | float | tuple[float, ...]
"""A class index, a score, or one 0.0 or 1.0 for each class."""


def collect_labels(examples: Sequence[Example], *, source: str = "examples") -> tuple[str, ...]:
    """The distinct labels, sorted: as numbers when all are numbers ("2" before "10"), else as text.

    source: the file they come from, for messages. Raises DataError naming the line of a missing or empty label.
    """
    found = {name for example in examples for name in _names(example, source)}
    numbers = {name: _number(name) for name in found}
    if None in numbers.values():
        return tuple(sorted(found))
    return tuple(sorted(found, key=lambda name: (numbers[name], name)))


def check_labels(examples: Sequence[Example], labels: Sequence[str], *, source: str = "examples") -> None:
    """Raise DataError for the first label that is not among `labels`, with its line and the nearest known one."""
    known = set(labels)
    for example in examples:
        for name in _names(example, source):
            if name not in known:
                raise _unknown_label(name, example, labels, source)


@dataclass(frozen=True)
class LabelSet:
    """What the labels of a task mean to a model.

    names: the classes, in the order of the model's outputs; empty for regression.
    unknown: "error" = another label is one; "miss" = it has the target -100, which nothing is trained on.
    """

    names: tuple[str, ...]
    problem_type: ProblemType = "single_label_classification"
    unknown: Literal["error", "miss"] = "error"

    def encode(self, examples: Sequence[Example], *, source: str = "examples") -> list[Target]:
        """The target of each example.

        single_label_classification: the class index. multi_label_classification: one 0.0 or 1.0 for each class.
        regression: the score. Raises DataError naming the line of a label that is missing, unknown or not a number.
        """
        if self.problem_type == "regression":
            return [_score(example, source) for example in examples]
        if self.unknown == "error":
            check_labels(examples, self.names, source=source)
        index = {name: number for number, name in enumerate(self.names)}
        if self.problem_type == "single_label_classification":
            return [index.get(_one_name(example, source), IGNORED_LABEL) for example in examples]
        chosen = [set(_names(example, source)) for example in examples]
        return [tuple(float(name in names) for name in self.names) for names in chosen]


def _names(example: Example, source: str) -> tuple[str, ...]:
    """The label or labels of an example; a tuple may be empty (none of several applies), a text may not."""
    if isinstance(example.label, tuple):
        return example.label
    if not example.label:
        state = "no label; only prediction works without" if example.label is None else "an empty label"
        raise DataError(f"{source}, line {example.line}: the example has {state}")
    return (example.label,)


def _one_name(example: Example, source: str) -> str:
    names = _names(example, source)
    if len(names) != 1:
        raise DataError(
            f"{source}, line {example.line}: expected one label, got {len(names)}; "
            f'several belong to problem_type "multi_label_classification"'
        )
    return names[0]


def _unknown_label(name: str, example: Example, labels: Sequence[str], source: str) -> DataError:
    listed = ", ".join(labels[:20]) + (", ..." if len(labels) > 20 else "")
    hint = did_you_mean(name, labels)
    return DataError(f"{source}, line {example.line}: unknown label {name!r}{hint} (known: {listed})")


def _score(example: Example, source: str) -> float:
    name = _one_name(example, source)
    number = _number(name)
    if number is None:
        raise DataError(f"{source}, line {example.line}: regression needs a finite number as label, got {name!r}")
    return number


def _number(name: str) -> float | None:
    """The finite number that a label spells, if it does."""
    try:
        value = float(name)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
