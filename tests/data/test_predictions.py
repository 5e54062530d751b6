"""Files of predictions are scored as the official evaluators do, and files that do not fit are named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from plm.data.predictions import EVALUATORS, score_predictions
from plm.errors import DataError, UnknownNameError
from tests.reading import CONTEXT, GOLDEN, question, write
from tests.shared_data import shared_data


def wrote(path: Path, values: Any) -> Path:
    path.write_text(json.dumps(values), encoding="utf-8")
    return path


def test_the_version_of_the_data_chooses_the_evaluator(tmp_path: Path) -> None:
    answers = wrote(tmp_path / "p.json", {"q1": "1790", "q2": ""})
    v1 = write(tmp_path / "v1.json", question(CONTEXT, ("1790", 56)))
    v2 = write(tmp_path / "v2.json", question(CONTEXT, ("1790", 56)), question(is_impossible=True, id="q2"))
    assert score_predictions(v1, answers) == {"exact_match": 100.0, "f1": 100.0}
    assert score_predictions(v2, answers)["NoAns_exact"] == 100.0
    assert score_predictions(v1, answers, evaluator="squad2")["exact"] == 100.0
    assert score_predictions(v1, answers, evaluator="cmrc") == {
        "AVERAGE": 100.0,
        "F1": 100.0,
        "EM": 100.0,
        "TOTAL": 1,
        "SKIP": 0,
    }


def test_null_odds_add_the_best_thresholds() -> None:
    scores = score_predictions(
        GOLDEN / "questions.json",
        GOLDEN / "v2_predictions.json",
        null_odds=GOLDEN / "v2_null_odds.json",
        threshold=-9.5,
    )
    silenced = score_predictions(GOLDEN / "questions.json", GOLDEN / "v2_predictions_minus_9.5.json")
    assert {name: scores[name] for name in silenced} == silenced
    assert list(scores)[-4:] == ["best_exact", "best_exact_thresh", "best_f1", "best_f1_thresh"]


def test_the_format_of_cmrc_is_scored(tmp_path: Path) -> None:
    asked = [{"query_id": "T_1", "query_text": "何时?", "answers": ["一九一二年", "一九一二"]}]
    data = wrote(tmp_path / "d.json", [{"context_text": "建于一九一二年。", "qas": asked}])
    assert score_predictions(data, wrote(tmp_path / "p.json", {"T_1": "一九一二。"}), evaluator="cmrc")["EM"] == 100.0


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        ([], "expected an object with a text for the id of each question, got list"),
        ({"q1": 5}, "'q1': expected a text, got 5"),
        ({"q1": [{"text": "1790"}]}, "'q1': expected a text, got "),
        ({"x": "1790"}, "none of its 1 predictions is of the 1 questions, the first of which is 'q1'"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, predictions: object, message: str) -> None:
    data = write(tmp_path / "d.json", question(CONTEXT, ("1790", 56)))
    with pytest.raises(DataError, match=rf"p\.json.*{message}"):
        score_predictions(data, wrote(tmp_path / "p.json", predictions))


@pytest.mark.parametrize("value", ["0.5", True, None, float("nan")])
def test_null_odds_are_numbers(tmp_path: Path, value: object) -> None:
    data = write(tmp_path / "d.json", question(is_impossible=True))
    odds = wrote(tmp_path / "n.json", {"q1": value})
    with pytest.raises(DataError, match=r"n\.json, 'q1': expected a number"):
        score_predictions(data, wrote(tmp_path / "p.json", {"q1": ""}), null_odds=odds)


def test_what_does_not_belong_together_names_the_files(tmp_path: Path) -> None:
    data = write(tmp_path / "d.json", question(CONTEXT, ("1790", 56)), question(is_impossible=True, id="q2"))
    predictions, odds = wrote(tmp_path / "p.json", {"q1": "1790"}), wrote(tmp_path / "n.json", {"q1": 0.5, "q2": 0.5})
    with pytest.raises(DataError, match=r"p\.json for .*d\.json: 1 of 2 questions have no prediction"):
        score_predictions(data, predictions)
    with pytest.raises(DataError, match="question 'q2': has no expected answer"):
        score_predictions(data, predictions, evaluator="cmrc")
    with pytest.raises(DataError, match="null odds are of no use here"):
        score_predictions(data, predictions, evaluator="squad1", null_odds=odds)


def test_an_unknown_evaluator_lists_the_known(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=rf"'sqaud'; did you mean 'squad'\? \(known: {', '.join(EVALUATORS)}\)"):
        score_predictions(tmp_path / "d.json", tmp_path / "p.json", evaluator="sqaud")


@pytest.mark.parametrize(
    ("name", "evaluator", "most"),
    [
        (("squad", "dev-v1.1.part.json"), "squad", {"exact_match": 100.0, "f1": 100.0}),
        (("squad", "dev-v2.0.part.json"), "squad", {"exact": 100.0, "f1": 100.0}),
        (("mrc_zh", "cmrc2018_dev_part.json"), "cmrc", {"EM": 100.0, "F1": 100.0}),
    ],
)
def test_the_expected_answers_of_real_files_score_full_marks(
    tmp_path: Path, name: tuple[str, str], evaluator: str, most: dict[str, float]
) -> None:
    path = shared_data(*name)
    answers = {
        asked["id"]: next((answer["text"] for answer in asked["answers"]), "")
        for article in json.loads(path.read_text(encoding="utf-8"))["data"]
        for paragraph in article["paragraphs"]
        for asked in paragraph["qas"]
    }
    scores = score_predictions(path, wrote(tmp_path / "p.json", answers), evaluator=evaluator)
    assert {name: scores[name] for name in most} == most
