"""SQuAD's scores: worked examples, the quirks of the official scripts, and laws of the best threshold."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plm.errors import DataError
from plm.metrics.squad import best_threshold, normalize_answer, squad_v1, squad_v2
from tests.reading import GOLDEN


@pytest.mark.parametrize(
    ("text", "normalized"),
    [
        ("The  Old-Mill, a (mill)!", "oldmill mill"),
        ("an apple a day", "apple day"),
        ("theatre", "theatre"),
        ("“the” a。", "“ ” 。"),  # only ASCII punctuation goes; articles go before other signs too
        ("a\u00a0mill\u3000the", "mill"),
        ("The", ""),
        ("İstanbul", "i\u0307stanbul"),
    ],
)
def test_answers_are_compared_without_case_articles_and_ascii_punctuation(text: str, normalized: str) -> None:
    assert normalize_answer(text) == normalized


def test_v1_takes_the_best_of_the_expected_answers() -> None:
    references = {"a": ["in 1790", "the year 1790"], "b": ["old mill"], "c": ["x"], "d": ["y"]}
    scores = squad_v1(references, {"a": "Year 1790.", "b": "old red mill", "c": "z", "other": "y"})
    assert scores == {"exact_match": 25.0, "f1": 100 * (1 + 0.8) / 4}


def test_v1_gives_no_credit_for_two_answers_without_words() -> None:
    assert squad_v1({"a": ["the"]}, {"a": "an"}) == {"exact_match": 100.0, "f1": 0.0}


def test_v2_counts_an_answer_without_words_as_none_but_its_question_as_answerable() -> None:
    scores = squad_v2({"a": ["the"], "b": []}, {"a": "an", "b": ""})
    assert scores == {
        "exact": 100.0,
        "f1": 100.0,
        "total": 2,
        "HasAns_exact": 100.0,
        "HasAns_f1": 100.0,
        "HasAns_total": 1,
        "NoAns_exact": 100.0,
        "NoAns_f1": 100.0,
        "NoAns_total": 1,
    }


def test_v2_reports_the_groups_that_there_are() -> None:
    assert set(squad_v2({"a": ["x"]}, {"a": "x"})) == {
        "exact",
        "f1",
        "total",
        "HasAns_exact",
        "HasAns_f1",
        "HasAns_total",
    }


def test_a_prediction_whose_odds_exceed_the_threshold_counts_as_no_answer() -> None:
    references = {"a": ["mill"], "b": []}
    predictions, odds = {"a": "mill", "b": "mill"}, {"a": 0.5, "b": 0.6}
    assert squad_v2(references, predictions, null_odds=odds)["exact"] == 50.0
    assert squad_v2(references, predictions, null_odds=odds, threshold=0.5)["exact"] == 100.0
    assert squad_v2(references, predictions, null_odds=odds, threshold=0.4)["exact"] == 50.0
    best = squad_v2(references, predictions, null_odds=odds)
    assert (best["best_exact"], best["best_exact_thresh"]) == (100.0, 0.5)


def test_the_threshold_is_zero_where_silence_is_best() -> None:
    scores = squad_v2({"a": [], "b": []}, {"a": "x", "b": "y"}, null_odds={"a": -3.0, "b": -2.0})
    assert (scores["best_f1"], scores["best_f1_thresh"]) == (100.0, 0.0)


def test_the_golden_predictions_score_as_the_official_script_says() -> None:
    values = json.loads((GOLDEN / "questions.json").read_text())
    references = {
        asked["id"]: [answer["text"] for answer in asked["answers"]]
        for paragraph in values["data"][0]["paragraphs"]
        for asked in paragraph["qas"]
    }
    predictions = json.loads((GOLDEN / "v2_predictions.json").read_text())
    odds = json.loads((GOLDEN / "v2_null_odds.json").read_text())
    # Printed by evaluate-v2.0.py.
    assert squad_v2(references, predictions, null_odds=odds) == {
        "exact": 0.0,
        "f1": 7.4074074074074066,
        "total": 9,
        "HasAns_exact": 0.0,
        "HasAns_f1": 9.523809523809522,
        "HasAns_total": 7,
        "NoAns_exact": 0.0,
        "NoAns_f1": 0.0,
        "NoAns_total": 2,
        "best_exact": 22.22222222222222,
        "best_exact_thresh": 0.0,
        "best_f1": 22.22222222222222,
        "best_f1_thresh": 0.0,
    }


@settings(deadline=None, max_examples=200)
@given(
    st.lists(
        st.tuples(st.booleans(), st.sampled_from(["", "mill", "river"]), st.integers(-3, 3)), min_size=1, max_size=9
    )
)
def test_no_threshold_between_different_odds_does_better_than_the_best(rows: list[tuple[bool, str, int]]) -> None:
    references = {str(place): ["mill"] if has else [] for place, (has, _, _) in enumerate(rows)}
    predictions = {str(place): text for place, (_, text, _) in enumerate(rows)}
    odds = {str(place): float(value) for place, (_, _, value) in enumerate(rows)}
    scores = squad_v2(references, predictions, null_odds=odds)
    reached = [
        squad_v2(references, predictions, null_odds=odds, threshold=threshold)["exact"]
        for threshold in (-4.0, *odds.values())
    ]
    # Among equal odds the script may stop between two, which no threshold can.
    assert scores["best_exact"] >= max(reached)
    if len(set(odds.values())) == len(rows):
        assert scores["best_exact"] == max(reached)


def test_odds_of_other_questions_are_passed_over() -> None:
    assert best_threshold({"a": ["x"]}, {"a": "x"}, {"a": 1.0}, {"a": 2.0, "b": 1.0}) == (1.0, 2.0)


def test_what_the_official_scripts_fail_on_is_an_error() -> None:
    with pytest.raises(DataError, match="there are no questions"):
        squad_v1({}, {})
    with pytest.raises(DataError, match="question 'a': has no expected answer"):
        squad_v1({"a": []}, {"a": "x"})
    with pytest.raises(DataError, match="1 of 2 questions have no prediction, the first is 'b'"):
        squad_v2({"a": ["x"], "b": []}, {"a": "x"})
    with pytest.raises(DataError, match="1 of 1 questions have no null odds"):
        squad_v2({"a": ["x"]}, {"a": "x"}, null_odds={})
