"""CMRC's scores: worked examples from the official script, signs that count for nothing, runs without gaps."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plm.errors import DataError
from plm.metrics.cmrc import cmrc2018, cmrc_f1, segments, without_signs


# Printed by cmrc2018_evaluate.py (v6) with nltk.
@pytest.mark.parametrize(
    ("expected", "predicted", "f1", "exact"),
    [
        ("光荣和ω-force", "光荣", 2 / 3, 0),
        ("1998年", "1998", 2 / 3, 0),
        ("“超级碗”", "超级碗", 1, 1),
        ("new york", "New York City", 0.8, 0),
        ("北京，上海", "北京上海", 1, 1),
        ("。", "。", 0, 1),
        ("……", "…", 0, 0),
        ("ABCDE大学", "CDE大学", 2 / 3, 0),
        ("甲乙丙丁戊", "甲乙丁戊", 4 / 9, 0),  # a run without gaps, not a subsequence
        ("北京", "", 0, 0),
    ],
)
def test_worked_examples(expected: str, predicted: str, f1: float, exact: int) -> None:
    scores = cmrc2018({"a": [expected]}, {"a": predicted})
    assert scores["F1"] == pytest.approx(100 * f1)
    assert scores["EM"] == 100 * exact
    assert scores["AVERAGE"] == pytest.approx(50 * (f1 + exact))


def test_the_best_of_several_answers_counts_and_questions_without_prediction_count_nothing() -> None:
    scores = cmrc2018({"a": ["南京", "南京城"], "b": ["北京"]}, {"a": "南京城", "c": "x"})
    assert scores == {"AVERAGE": 50.0, "F1": 50.0, "EM": 50.0, "TOTAL": 2, "SKIP": 1}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("建于1790年", ["建", "于", "1790", "年"]),
        ("Mr. Smith left. He ran，再见", ["mr.", "smith", "left", ".", "he", "ran", "再", "见"]),
        ("「3.5%」", ["3.5", "%"]),
        ("か な", ["か", "な"]),  # kana are words between spaces
        ("龥龦", ["龥", "龦"]),  # the last character that counts as one, and the first that does not
        (" ，。 ", []),
    ],
)
def test_segments_are_characters_and_words(text: str, found: list[str]) -> None:
    assert segments(text) == found


def test_ascii_full_stops_and_spaces_stay_in_exact_match() -> None:
    assert without_signs(" A-b，c. D ") == "abc. d"


@settings(deadline=None, max_examples=100)
@given(*[st.text(st.sampled_from("北京上海ab 1.，-"), max_size=10)] * 2)
def test_f1_is_symmetric_and_one_for_equal_texts_with_segments(left: str, right: str) -> None:
    assert cmrc_f1(left, right) == pytest.approx(cmrc_f1(right, left))
    assert 0 <= cmrc_f1(left, right) <= 1
    assert cmrc_f1(left, left) == float(bool(segments(left)))


def test_what_cannot_be_scored_is_an_error() -> None:
    with pytest.raises(DataError, match="there are no questions"):
        cmrc2018({}, {})
    with pytest.raises(DataError, match="question 'a': has no expected answer"):
        cmrc2018({"a": []}, {})
