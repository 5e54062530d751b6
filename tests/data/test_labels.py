"""Labels become numbers, or the message names their line."""

from __future__ import annotations

import pytest

from plm.data.labels import LabelSet, check_labels, collect_labels
from plm.data.readers import Example
from plm.errors import DataError


def labelled(*labels: str | tuple[str, ...] | None) -> list[Example]:
    return [Example(id=str(n), text="x", pair=None, label=label, line=n) for n, label in enumerate(labels, 1)]


def test_labels_are_sorted_as_text_or_as_numbers() -> None:
    assert collect_labels(labelled("b", "a", "b", "10")) == ("10", "a", "b")
    assert collect_labels(labelled("10", "9", "-1", "2.5")) == ("-1", "2.5", "9", "10")
    assert collect_labels(labelled(("b", "a"), (), ("c",))) == ("a", "b", "c")


@pytest.mark.parametrize(("label", "state"), [(None, "no label"), ("", "an empty label")])
def test_missing_labels_name_their_line(label: str | None, state: str) -> None:
    with pytest.raises(DataError, match=f"dev.tsv, line 2: the example has {state}"):
        collect_labels(labelled("a", label), source="dev.tsv")


def test_unknown_labels_name_their_line_and_the_nearest() -> None:
    message = r"dev.tsv, line 2: unknown label 'PlayMusik'; did you mean 'PlayMusic'\? \(known: PlayMusic, RateBook\)"
    with pytest.raises(DataError, match=message):
        check_labels(labelled("RateBook", "PlayMusik"), ["PlayMusic", "RateBook"], source="dev.tsv")


def test_single_labels_become_class_indexes() -> None:
    targets = LabelSet(("no", "yes")).encode(labelled("yes", "no"))
    assert targets == [1, 0]
    assert all(type(target) is int for target in targets)


def test_a_tuple_of_one_is_a_single_label_and_more_are_refused() -> None:
    assert LabelSet(("a", "b")).encode(labelled(("b",))) == [1]
    with pytest.raises(DataError, match=r"line 1: expected one label, got 2; .*multi_label_classification"):
        LabelSet(("a", "b")).encode(labelled(("a", "b")))


def test_several_labels_become_zeros_and_ones() -> None:
    labels = LabelSet(("a", "b", "c"), "multi_label_classification")
    assert labels.encode(labelled(("c", "a"), (), "b")) == [(1.0, 0.0, 1.0), (0.0, 0.0, 0.0), (0.0, 1.0, 0.0)]


def test_scores_become_floats() -> None:
    assert LabelSet((), "regression").encode(labelled("3", "-0.5", "1e1")) == [3.0, -0.5, 10.0]


@pytest.mark.parametrize("label", ["high", "nan", "inf", "1,5"])
def test_scores_that_are_no_finite_numbers_are_refused(label: str) -> None:
    with pytest.raises(DataError, match=f"line 2: regression needs a finite number as label, got '{label}'"):
        LabelSet((), "regression").encode(labelled("1", label))
