"""Metrics of an order: by hand, against their definitions, and where nothing can be said."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plm.errors import DataError
from plm.metrics.ranking import rank_metrics


def test_values_by_hand() -> None:
    groups = ["a", "a", "a", "b", "b", "b", "b"]
    labels = [0, 1, 0, 1, 0, 1, 0]
    scores = [0.9, 0.5, 0.1, 0.8, 0.6, 0.4, 0.2]  # a: second place; b: first and third place
    metrics = rank_metrics(groups, labels, scores)
    assert metrics["mrr"] == pytest.approx((1 / 2 + 1) / 2)
    assert metrics["map"] == pytest.approx((1 / 2 + (1 + 2 / 3) / 2) / 2)
    assert metrics["ordering_accuracy"] == pytest.approx((1 + 3) / (2 + 4))


def test_equal_scores_are_no_merit() -> None:
    metrics = rank_metrics("aaa", [1, 0, 0], [0.5, 0.5, 0.5])
    assert metrics == {"mrr": 1 / 3, "map": 1 / 3, "ordering_accuracy": 0.5}


def test_queries_with_candidates_of_one_kind_do_not_count() -> None:
    some = rank_metrics("aabbcc", [1, 0, 1, 1, 0, 0], [2.0, 1.0, 0.0, 9.0, 0.0, 9.0])
    assert some == rank_metrics("aa", [1, 0], [2.0, 1.0])
    graded = rank_metrics("aa", [2, 1], [0.1, 0.2])
    assert graded == {"ordering_accuracy": 0.0}  # nothing irrelevant: no ranks, but an order
    with pytest.raises(DataError, match="nothing to compare"):
        rank_metrics("aab", [1, 1, 0], [0.1, 0.2, 0.3])


def test_lengths_must_agree() -> None:
    with pytest.raises(DataError, match="2 groups, 1 labels and 2 scores"):
        rank_metrics("ab", [1], [0.1, 0.2])


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2), st.sampled_from([0.0, 0.3, 0.3, 0.7])), max_size=12)
)
def test_metrics_are_what_their_definitions_say(rows: list[tuple[str, int, float]]) -> None:
    pairs = [
        (first, second)
        for first, second in itertools.permutations(rows, 2)
        if first[0] == second[0] and first[1] > second[1]
    ]
    if not pairs:
        return
    metrics = rank_metrics(*map(list, zip(*rows, strict=True)))
    right = [1.0 if better[2] > worse[2] else 0.5 if better[2] == worse[2] else 0.0 for better, worse in pairs]
    assert metrics["ordering_accuracy"] == pytest.approx(np.mean(right))
    reciprocal, precisions = [], []
    for group in "abc":
        own = sorted((-score, label > 0) for name, label, score in rows if name == group)
        hits = [place for place, (_, relevant) in enumerate(own, 1) if relevant]
        if 0 < len(hits) < len(own):
            reciprocal.append(1 / hits[0])
            precisions.append(np.mean([number / place for number, place in enumerate(hits, 1)]))
    assert metrics.get("mrr", math.nan) == pytest.approx(np.mean(reciprocal) if reciprocal else math.nan, nan_ok=True)
    assert metrics.get("map", math.nan) == pytest.approx(np.mean(precisions) if precisions else math.nan, nan_ok=True)
