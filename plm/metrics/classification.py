"""Numbers that say how good class, score and label predictions are; computed by torchmetrics, always defined.

Where the textbook formula divides by zero, the value is fixed here, without a warning: 0.0 for F1 of a class that
neither stands in the references nor was predicted, and 0.0 for correlations (MCC, Pearson, Spearman) when predictions
or references are all the same, or when there are fewer than two. torchmetrics alone gives nan, or 0.41, for these.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from plm.errors import DataError, optional_import
from plm.registry import Registry

ProblemType = Literal["single_label_classification", "multi_label_classification", "regression"]

Metric = Callable[[ArrayLike, ArrayLike], float]
"""(predictions, references) -> value, both in the same order. Classes: (examples,), integers from 0. Scores:
(examples,), floating. Several labels: (examples, classes), 0 or 1. Lists, arrays and tensors on the CPU will do."""

METRICS: Registry[Metric] = Registry("metric")


def compute_metrics(names: Sequence[str], predictions: ArrayLike, references: ArrayLike) -> dict[str, float]:
    """The named metrics. Raises UnknownNameError for a name not in METRICS, DataError for shapes that do not fit."""
    return {name: METRICS.get(name)(predictions, references) for name in names}


def decide(logits: ArrayLike, problem_type: ProblemType) -> NDArray[Any]:
    """What a model's outputs, (examples, outputs), say in the form that the metrics take.

    The most likely class, the classes with probability above one half, or the score.
    """
    values = np.asarray(logits)
    return _DECISIONS[problem_type](values)


_DECISIONS: Mapping[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "single_label_classification": lambda logits: logits.argmax(axis=-1),
    "multi_label_classification": lambda logits: (logits > 0).astype(np.int64),
    "regression": lambda logits: logits.reshape(len(logits)),
}


def accuracy(predictions: ArrayLike, references: ArrayLike) -> float:
    """Share of examples with the right class, in [0, 1]."""
    predicted, expected, classes = _classes(predictions, references)
    return float(torchmetrics().multiclass_accuracy(predicted, expected, num_classes=classes, average="micro"))


def binary_f1(predictions: ArrayLike, references: ArrayLike) -> float:
    """F1 of class 1, in [0, 1]: GLUE's F1 for MRPC and QQP. Raises DataError for classes other than 0 and 1."""
    predicted, expected, classes = _classes(predictions, references)
    if classes > 2:
        raise DataError(f"binary_f1 is for classes 0 and 1, got a class {classes - 1}; take macro_f1 or micro_f1")
    return float(torchmetrics().binary_f1_score(predicted, expected))


def macro_f1(predictions: ArrayLike, references: ArrayLike) -> float:
    """Mean of the F1 of every class that is predicted or expected somewhere, in [0, 1]."""
    predicted, expected, classes = _classes(predictions, references)
    return float(torchmetrics().multiclass_f1_score(predicted, expected, num_classes=classes, average="macro"))


def micro_f1(predictions: ArrayLike, references: ArrayLike) -> float:
    """F1 over all decisions, in [0, 1]; with one class for each example it equals accuracy."""
    if np.ndim(np.asarray(references)) == 2:
        predicted, expected = _label_sets(predictions, references)
        count = predicted.shape[1]
        return float(torchmetrics().multilabel_f1_score(predicted, expected, num_labels=count, average="micro"))
    predicted, expected, classes = _classes(predictions, references)
    return float(torchmetrics().multiclass_f1_score(predicted, expected, num_classes=classes, average="micro"))


def subset_accuracy(predictions: ArrayLike, references: ArrayLike) -> float:
    """Share of examples whose set of labels is exactly right, in [0, 1]."""
    predicted, expected = _label_sets(predictions, references)
    return float(torchmetrics().multilabel_exact_match(predicted, expected, num_labels=predicted.shape[1]))


def matthews_correlation(predictions: ArrayLike, references: ArrayLike) -> float:
    """Matthews' correlation of classes, in [-1, 1]: GLUE's for CoLA (2 classes) and the diagnostic set (3)."""
    predicted, expected, classes = _classes(predictions, references)
    if _is_constant(predicted) or _is_constant(expected):
        return 0.0
    return float(torchmetrics().multiclass_matthews_corrcoef(predicted, expected, num_classes=classes))


def pearson(predictions: ArrayLike, references: ArrayLike) -> float:
    """Linear correlation of scores, in [-1, 1]."""
    predicted, expected = _same_shape(predictions, references, dimensions=1, dtype=np.float64)
    if not (np.isfinite(predicted).all() and np.isfinite(expected).all()):
        raise DataError("correlation needs finite scores; there are nan or infinity among them")
    if _is_constant(predicted) or _is_constant(expected):
        return 0.0
    functional = optional_import("torchmetrics.functional", extra="metrics", purpose="Pearson correlation")
    value = functional.pearson_corrcoef(_tensor(_deviations(predicted)), _tensor(_deviations(expected)))
    return float(value)


def spearman(predictions: ArrayLike, references: ArrayLike) -> float:
    """Correlation of the ranks of scores, in [-1, 1]; equal scores share the mean of their ranks."""
    # Ranks of our own: torchmetrics adds them up in 32 bits, too few for many equal scores.
    predicted, expected = _same_shape(predictions, references, dimensions=1, dtype=np.float64)
    return pearson(_ranks(predicted), _ranks(expected))


def confusion_matrix(predictions: ArrayLike, references: ArrayLike, *, num_labels: int) -> NDArray[np.int64]:
    """(num_labels, num_labels), int64: how many examples of class [row] were predicted as class [column]."""
    predicted, expected, classes = _classes(predictions, references)
    if classes > num_labels:
        raise DataError(f"class {classes - 1} does not fit a confusion matrix of {num_labels} labels")
    matrix = torchmetrics().multiclass_confusion_matrix(predicted, expected, num_classes=num_labels)
    return np.asarray(matrix, dtype=np.int64)


for _metric in (accuracy, binary_f1, macro_f1, micro_f1, subset_accuracy, matthews_correlation, pearson, spearman):
    METRICS.add(_metric.__name__, _metric)

DEFAULT_METRICS: Mapping[ProblemType, tuple[str, ...]] = {
    "single_label_classification": ("accuracy", "macro_f1", "matthews_correlation"),
    "multi_label_classification": ("micro_f1", "subset_accuracy"),
    "regression": ("pearson", "spearman"),
}

# The metrics of the GLUE leaderboard, the one that models are chosen by first. Wang et al. 2019, table 1.
GLUE_METRICS: Mapping[str, tuple[str, ...]] = {
    "cola": ("matthews_correlation",),
    "sst-2": ("accuracy",),
    "mrpc": ("accuracy", "binary_f1"),
    "sts-b": ("pearson", "spearman"),
    "qqp": ("accuracy", "binary_f1"),
    "mnli": ("accuracy",),
    "qnli": ("accuracy",),
    "rte": ("accuracy",),
    "wnli": ("accuracy",),
    "ax": ("matthews_correlation",),
}


def torchmetrics() -> ModuleType:
    """The package that computes. Raises BackendUnavailable, which says how to install it."""
    return optional_import("torchmetrics.functional.classification", extra="metrics", purpose="classification metrics")


def _classes(predictions: ArrayLike, references: ArrayLike) -> tuple[Tensor, Tensor, int]:
    """Both as tensors, and the number of classes: one more than the highest, at least 2."""
    predicted, expected = _same_shape(predictions, references, dimensions=1, dtype=np.int64)
    if min(predicted.min(), expected.min()) < 0:
        raise DataError("classes are numbered from 0; leave out examples without label (-100) before computing metrics")
    return _tensor(predicted), _tensor(expected), max(2, int(max(predicted.max(), expected.max())) + 1)


def _label_sets(predictions: ArrayLike, references: ArrayLike) -> tuple[Tensor, Tensor]:
    predicted, expected = _same_shape(predictions, references, dimensions=2, dtype=np.int64)
    if not set(np.unique(predicted)) | set(np.unique(expected)) <= {0, 1}:
        raise DataError("sets of labels are written as 0 and 1 for each class; got other values")
    return _tensor(predicted), _tensor(expected)


def _same_shape(
    predictions: ArrayLike, references: ArrayLike, *, dimensions: int, dtype: type[np.generic]
) -> tuple[NDArray[Any], NDArray[Any]]:
    predicted, expected = np.asarray(predictions), np.asarray(references)
    if predicted.shape != expected.shape or predicted.ndim != dimensions or not predicted.size:
        raise DataError(
            f"metrics need predictions and references of one shape with {dimensions} dimension(s) and at least one "
            f"example, got {predicted.shape} and {expected.shape}"
        )
    converted = predicted.astype(dtype), expected.astype(dtype)
    if any((after != before).any() for after, before in zip(converted, (predicted, expected), strict=True)):
        raise DataError("classes must be whole numbers; decide() turns a model's outputs into classes")
    return converted


def _tensor(values: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values))


def _is_constant(values: NDArray[Any] | Tensor) -> bool:
    return bool((values == values[0]).all())


def _deviations(scores: NDArray[Any]) -> NDArray[Any]:
    """Deviations from the mean in units of the largest: torchmetrics warns about small variances, whatever the unit."""
    deviations = scores / np.abs(scores).max()
    deviations -= deviations.mean()
    return np.asarray(deviations / np.abs(deviations).max())


def _ranks(scores: NDArray[Any]) -> NDArray[np.float64]:
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    mean_ranks = np.cumsum(counts) - (counts - 1) / 2
    return mean_ranks[inverse]
