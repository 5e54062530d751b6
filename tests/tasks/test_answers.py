"""From spans to one answer: candidates with different texts, probabilities, and when it is said that there is none."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from plm.data.features.question_answering import Places
from plm.data.squad import Question
from plm.tasks.answers import SpanAnswer, answer_files, choose_answer, softmax, write_answers
from plm.tasks.spans import Span

TEXT = "mill by the mill"
ASKED = Question("q", "what", TEXT)
TOKENS = Places(np.array([[0, 4], [5, 7], [8, 11], [12, 16]], dtype=np.int32))
NOTHING = Span(None, 0.5, 0.5)


def choose(*spans: Span, null: Span | None = None, n_best: int = 5, threshold: float = 0.0) -> SpanAnswer:
    return choose_answer(ASKED, TOKENS, spans, n_best=n_best, style="exact", null=null, null_threshold=threshold)


def test_an_answer_is_the_text_from_its_first_to_its_last_character() -> None:
    answer = choose(Span((1, 3), 2.0, 1.0), Span((0, 0), 1.0, 1.0))
    assert (answer.text, answer.start, answer.end) == ("by the mill", 5, 16)
    assert answer.null_score is None
    assert answer.probability == pytest.approx(math.e / (1 + math.e))


def test_candidates_have_different_texts_and_the_better_place() -> None:
    answer = choose(Span((3, 3), 3.0, 0.0), Span((0, 0), 2.0, 0.0), Span((1, 1), 1.0, 0.0))
    assert [(one.text, one.start) for one in answer.candidates] == [("mill", 12), ("by", 5)]
    assert sum(one.probability for one in answer.candidates) == pytest.approx(1)


def test_no_more_candidates_than_asked_for() -> None:
    spans = [Span((place, place), float(-place), 0.0) for place in range(3)]
    assert len(choose(*spans, n_best=2).candidates) == 2
    assert [one.text for one in choose(*spans, n_best=2, null=NOTHING).candidates] == ["mill", "by", ""]


@pytest.mark.parametrize(("threshold", "text"), [(0.0, ""), (2.0, "by"), (1.5, ""), (2.5, "by")])
def test_no_answer_is_said_when_it_leads_by_more_than_the_threshold(threshold: float, text: str) -> None:
    answer = choose(Span(None, 2.0, 2.0), Span((1, 1), 1.0, 1.0), null=Span(None, 2.0, 2.0), threshold=threshold)
    assert answer.null_score == 2.0
    assert answer.text == text
    assert answer.best_text == "by"


def test_where_nothing_was_found_there_is_no_answer() -> None:
    answer = choose(null=NOTHING)
    assert (answer.text, answer.start, answer.null_score, answer.best_text) == ("", None, 1.0, "")
    assert choose().text == ""
    google = choose_answer(ASKED, TOKENS, [], n_best=5, style="google", null=None, null_threshold=0.0)
    assert google.text == "empty"  # as Google's code says


def test_probabilities_survive_any_logits() -> None:
    assert softmax([1e4, 1e4 - 1, -1e4]) == pytest.approx([1 / (1 + 1 / math.e), 1 / (1 + math.e), 0])


def test_null_odds_are_written_only_where_there_may_be_no_answer(tmp_path: Path) -> None:
    sure, unsure = choose(Span((1, 1), 1.0, 1.0)), choose(Span((1, 1), 1.0, 1.0), null=NOTHING)
    assert list(answer_files([ASKED], [sure])) == ["predictions.json", "nbest_predictions.json"]
    paths = write_answers(tmp_path, [ASKED], [unsure])
    assert [path.name for path in paths] == ["predictions.json", "nbest_predictions.json", "null_odds.json"]
    assert [json.loads(path.read_text()) for path in (paths[0], paths[2])] == [{"q": "by"}, {"q": -1.0}]
    nbest = json.loads(paths[1].read_text())["q"]
    assert [list(one) for one in nbest] == [["text", "probability", "start_logit", "end_logit"]] * 2
