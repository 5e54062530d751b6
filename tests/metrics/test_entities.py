"""Entities count when type, first and last word are right, as in conlleval; words are counted apart from them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plm.errors import DataError
from plm.metrics.entities import Entity, EntityScore, score_entities, token_accuracy

entities = st.lists(st.builds(Entity, st.sampled_from("ABC"), st.integers(0, 4), st.integers(0, 4)), max_size=6)


def test_type_and_both_ends_must_be_right() -> None:
    # By hand: one exact, one of another type, one too short, one missed, one invented.
    expected = [[Entity("PER", 0, 1), Entity("LOC", 3, 3)], [Entity("ORG", 0, 2), Entity("LOC", 5, 5)], []]
    predicted = [[Entity("PER", 0, 1), Entity("ORG", 3, 3)], [Entity("ORG", 0, 1)], [Entity("PER", 0, 0)]]
    scores = score_entities(predicted, expected)
    assert scores.total == EntityScore(correct=1, predicted=4, expected=4)
    assert (scores.total.precision, scores.total.recall, scores.total.f1) == (0.25, 0.25, 0.25)
    assert list(scores.by_type) == ["LOC", "ORG", "PER"]
    assert scores.by_type["LOC"] == EntityScore(0, 0, 2)
    assert scores.by_type["ORG"] == EntityScore(0, 2, 1)
    assert scores.by_type["PER"] == EntityScore(1, 2, 1)
    assert scores.by_type["PER"].f1 == pytest.approx(2 * 0.5 * 1.0 / 1.5)


def test_an_entity_of_another_sentence_is_not_found() -> None:
    assert score_entities([[Entity("PER", 0, 0)], []], [[], [Entity("PER", 0, 0)]]).total.correct == 0


@pytest.mark.parametrize("found", [[], [Entity("PER", 0, 0)]])
def test_without_correct_entities_everything_is_zero(found: list[Entity]) -> None:
    total = score_entities([found], [[]]).total
    assert (total.precision, total.recall, total.f1) == (0.0, 0.0, 0.0)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(entities, entities), max_size=4))
def test_f1_is_the_harmonic_mean_and_the_sides_are_interchangeable(pairs: list[tuple[list[Entity], ...]]) -> None:
    ours, theirs = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    total, swapped = score_entities(ours, theirs).total, score_entities(theirs, ours).total
    assert (total.precision, total.recall, total.f1) == (swapped.recall, swapped.precision, swapped.f1)
    if total.correct:
        assert total.f1 == pytest.approx(2 / (1 / total.precision + 1 / total.recall))
    same = score_entities(ours, ours).total
    assert same.f1 == (1.0 if any(ours) else 0.0)


def test_token_accuracy_counts_words_outside_too_and_weighs_sentences_by_words() -> None:
    assert token_accuracy([["O", "O", "B-X"], ["O"]], [["O", "O", "I-X"], ["O"]]) == 0.75
    assert token_accuracy([], []) == 0.0


def test_sides_that_do_not_fit_are_refused() -> None:
    with pytest.raises(DataError, match="1 sentences were predicted, 2 expected"):
        score_entities([[]], [[], []])
    with pytest.raises(DataError, match="1 tags in sentence 1 were predicted, 2 expected"):
        token_accuracy([["O"], ["O"]], [["O"], ["O", "O"]])
