"""Metrics against numbers worked out by hand and against formulas written down a second time."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from plm.errors import DataError, UnknownNameError
from plm.metrics.classification import (
    DEFAULT_METRICS,
    GLUE_METRICS,
    METRICS,
    compute_metrics,
    confusion_matrix,
    decide,
)

pytest.importorskip("torchmetrics", reason='needs the extra "metrics"')

# Of three 0s two are right, of two 1s one, of one 2 none.
PREDICTED, EXPECTED = [0, 0, 1, 1, 0, 0], [0, 0, 0, 1, 1, 2]


def metric(name: str, predictions: object, references: object) -> float:
    return METRICS.get(name)(predictions, references)  # type: ignore[arg-type]


def test_metrics_by_hand() -> None:
    assert metric("accuracy", PREDICTED, EXPECTED) == pytest.approx(3 / 6)
    # F1: class 0 has 2 hits of 4 predicted and 3 expected, class 1 has 1 of 2 and 2, class 2 none.
    assert metric("macro_f1", PREDICTED, EXPECTED) == pytest.approx((4 / 7 + 1 / 2 + 0) / 3)
    assert metric("micro_f1", PREDICTED, EXPECTED) == pytest.approx(3 / 6)
    assert metric("binary_f1", [1, 1, 0, 1], [1, 0, 1, 1]) == pytest.approx(2 / 3)
    # (TP TN - FP FN) / sqrt(...) with TP 2, TN 1, FP 1, FN 1.
    assert metric("matthews_correlation", [1, 1, 1, 0, 0], [1, 1, 0, 1, 0]) == pytest.approx(1 / 6)
    assert metric("pearson", [1.0, 2.0, 3.0], [1.0, 3.0, 2.0]) == pytest.approx(0.5)
    assert metric("spearman", [1.0, 2.0, 9.0], [0.1, 0.2, 0.3]) == pytest.approx(1.0)
    # Ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4.
    assert metric("spearman", [1.0, 5.0, 5.0, 7.0], [1.0, 2.0, 3.0, 4.0]) == pytest.approx(4.5 / math.sqrt(4.5 * 5))
    assert metric("micro_f1", [[1, 0, 1], [0, 1, 0]], [[1, 1, 0], [0, 1, 0]]) == pytest.approx(2 / 3)
    assert metric("subset_accuracy", [[1, 0, 1], [0, 1, 0]], [[1, 1, 0], [0, 1, 0]]) == pytest.approx(1 / 2)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=40))
def test_class_metrics_follow_from_the_confusion_matrix(pairs: list[tuple[int, int]]) -> None:
    predicted, expected = zip(*pairs, strict=True)
    matrix = confusion_matrix(predicted, expected, num_labels=4).astype(float)
    hits, by_reference, by_prediction = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    total, present = matrix.sum(), by_reference + by_prediction > 0
    assert metric("accuracy", predicted, expected) == pytest.approx(hits.sum() / total)
    f1 = 2 * hits[present] / (by_reference + by_prediction)[present]
    assert metric("macro_f1", predicted, expected) == pytest.approx(f1.mean())
    # Gorodkin 2004, the many-class form of Matthews' correlation.
    spread = math.sqrt((total**2 - (by_prediction**2).sum()) * (total**2 - (by_reference**2).sum()))
    mcc = (hits.sum() * total - by_prediction @ by_reference) / spread if spread else 0.0
    assert metric("matthews_correlation", predicted, expected) == pytest.approx(mcc, abs=1e-6)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.floats(-1e3, 1e3), st.floats(-5, 5)), min_size=2, max_size=40))
def test_correlations_stay_in_range_and_ignore_unit_and_order(pairs: list[tuple[float, float]]) -> None:
    predicted, expected = map(np.array, zip(*pairs, strict=True))
    for name in ("pearson", "spearman"):
        value = metric(name, predicted, expected)
        assert -1.0 <= value <= 1.0
        assert metric(name, expected, predicted) == pytest.approx(value, abs=1e-9)
        assert metric(name, predicted * 4.0, expected) == pytest.approx(value, abs=1e-9)


def test_correlations_equal_numpys() -> None:
    generator = np.random.default_rng(0)
    predicted = generator.normal(size=500)
    expected = predicted + generator.normal(size=500)
    assert metric("pearson", predicted, expected) == pytest.approx(np.corrcoef(predicted, expected)[0, 1], abs=1e-12)
    ranks = [scores.argsort().argsort() for scores in (predicted, expected)]
    assert metric("spearman", predicted, expected) == pytest.approx(np.corrcoef(*ranks)[0, 1], abs=1e-12)


def test_correlation_does_not_lose_small_scores() -> None:
    assert metric("pearson", [1e-9, 2e-9, 3e-9], [1.0, 3.0, 2.0]) == pytest.approx(0.5)


@pytest.mark.parametrize("name", ["matthews_correlation", "pearson", "spearman"])
@pytest.mark.parametrize(
    ("predicted", "expected"), [([1, 1, 1], [0, 1, 1]), ([0, 1, 1], [1, 1, 1]), ([1, 1], [1, 1]), ([0], [1])]
)
def test_correlation_with_a_constant_is_zero(name: str, predicted: list[int], expected: list[int]) -> None:
    assert metric(name, predicted, expected) == 0.0


def test_f1_without_any_hit_is_zero() -> None:
    assert metric("binary_f1", [0, 0], [0, 0]) == 0.0
    assert metric("macro_f1", [0, 0], [1, 1]) == 0.0
    assert metric("micro_f1", [[0, 0]], [[0, 0]]) == 0.0


def test_confusion_matrix_has_references_in_rows() -> None:
    assert confusion_matrix(PREDICTED, EXPECTED, num_labels=3).tolist() == [[2, 1, 0], [1, 1, 0], [1, 0, 0]]
    with pytest.raises(DataError, match="class 2 does not fit a confusion matrix of 2 labels"):
        confusion_matrix(PREDICTED, EXPECTED, num_labels=2)


# Three classes: matrix [[2, 1, 0], [0, 1, 1], [1, 0, 2]], 5 of 8 right, 3 + 2 + 3 expected, 3 + 2 + 3 predicted.
THREE = [(0, 0), (0, 0), (1, 0), (1, 1), (2, 1), (0, 2), (2, 2), (2, 2)]
# Two classes: 3 hits, 1 miss, 2 false alarms, 2 rightly rejected.
TWO = [(1, 1), (1, 1), (1, 1), (0, 1), (1, 0), (1, 0), (0, 0), (0, 0)]
# Deviations -1.5, -0.5, 0.5, 1.5 against -2, 0, -1, 3; the middle two change their ranks.
SCORES = [(1.0, 0.0), (2.0, 2.0), (3.0, 1.0), (4.0, 5.0)]
MCC_OF_TWO = (3 * 2 - 2 * 1) / math.sqrt(5 * 4 * 4 * 3)


@pytest.mark.parametrize(
    ("task", "pairs", "expected"),
    [
        ("cola", TWO, [MCC_OF_TWO]),
        ("sst-2", TWO, [5 / 8]),
        ("mrpc", TWO, [5 / 8, 2 * 3 / (5 + 4)]),
        ("sts-b", SCORES, [7 / math.sqrt(5 * 14), 1 - 6 * (0 + 1 + 1 + 0) / (4 * 15)]),
        ("qqp", TWO, [5 / 8, 2 * 3 / (5 + 4)]),
        ("mnli", THREE, [5 / 8]),
        ("qnli", TWO, [5 / 8]),
        ("rte", TWO, [5 / 8]),
        ("wnli", TWO, [5 / 8]),
        ("ax", THREE, [(5 * 8 - (3 * 3 + 2 * 2 + 3 * 3)) / (8 * 8 - (3 * 3 + 2 * 2 + 3 * 3))]),
    ],
)
def test_the_metrics_of_glue_by_hand(task: str, pairs: list[tuple[float, float]], expected: list[float]) -> None:
    predicted, references = zip(*pairs, strict=True)
    assert list(compute_metrics(GLUE_METRICS[task], predicted, references).values()) == pytest.approx(expected)


def test_lists_arrays_and_tensors_will_do() -> None:
    for convert in (list, np.array, torch.tensor):
        assert metric("accuracy", convert([0, 1]), convert([0, 0])) == pytest.approx(0.5)


def test_decisions_fit_the_problem() -> None:
    logits = np.array([[0.1, 2.0], [3.0, -1.0]])
    assert decide(logits, "single_label_classification").tolist() == [1, 0]
    assert decide(logits, "multi_label_classification").tolist() == [[1, 1], [1, 0]]
    assert decide(np.array([[0.5], [2.0]]), "regression").tolist() == [0.5, 2.0]


@pytest.mark.parametrize(
    ("name", "predicted", "expected", "message"),
    [
        ("accuracy", [0, 1], [0], r"one shape .* got \(2,\) and \(1,\)"),
        ("accuracy", [], [], "at least one example"),
        ("accuracy", [[0, 1]], [[0, 1]], "1 dimension"),
        ("accuracy", [0.5], [0], "classes must be whole numbers"),
        ("accuracy", [0, 1], [0, -100], "without label"),
        ("binary_f1", [0, 2], [0, 1], "binary_f1 is for classes 0 and 1, got a class 2"),
        ("subset_accuracy", [[0, 2]], [[0, 1]], "0 and 1"),
        ("pearson", [0.0, math.inf], [0.0, 1.0], "finite"),
    ],
)
def test_what_cannot_be_measured_is_refused(name: str, predicted: object, expected: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        metric(name, predicted, expected)


def test_tables_name_known_metrics_only() -> None:
    for names in [*DEFAULT_METRICS.values(), *GLUE_METRICS.values()]:
        assert all(name in METRICS for name in names)
    assert list(compute_metrics(GLUE_METRICS["mrpc"], [1, 0], [1, 1])) == ["accuracy", "binary_f1"]
    with pytest.raises(UnknownNameError, match="did you mean 'accuracy'"):
        compute_metrics(["acuracy"], [1], [1])
