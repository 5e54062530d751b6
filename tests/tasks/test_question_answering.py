"""Question answering from files to scores: Google's files byte for byte, exact substrings, official figures."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from plm.config import from_dict, to_dict
from plm.data.predictions import score_predictions
from plm.data.squad import GoldAnswer, Question, read_questions
from plm.errors import ConfigError, DataError
from plm.heads.model import Model
from plm.tasks.answers import SpanAnswer, write_answers
from plm.tasks.question_answering import QuestionAnswering
from plm.tasks.task import TASKS
from tests.reading import CONTEXT, GOLDEN, answered, by_formula, question, results, uncased, write
from tests.shared_data import shared_data
from tests.tiny_models import tiny_model

UNCASED = uncased()
GOOGLE: dict[str, Any] = {"doc_stride": 24, "max_query_length": 10, "max_answer_length": 10}


def golden(version_2: bool, **options: Any) -> tuple[QuestionAnswering, list[Question], list[SpanAnswer]]:
    """The answers that the logits of the golden files give."""
    task = QuestionAnswering(version_2=version_2, **{**GOOGLE, **options})
    questions = task.read(GOLDEN / "questions.json")
    questions = questions if version_2 else answered(questions)
    windows = task.encode(questions, UNCASED, max_length=64, has_labels=False)
    return task, questions, task.answers(questions, windows, results(task, windows, by_formula))


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_files_are_googles_byte_for_byte(version: str) -> None:
    task, questions, answers = golden(version == "v2", answer_style="google")
    files = task.answer_files(questions, answers)
    assert len(files) == (3 if version == "v2" else 2)
    for name, content in files.items():
        assert content == (GOLDEN / f"{version}_{name.replace('nbest_predictions', 'nbest')}").read_text()


def test_a_threshold_silences_the_answers_that_google_silences() -> None:
    task, questions, answers = golden(True, answer_style="google", null_threshold=-9.5)
    assert (
        task.answer_files(questions, answers)["predictions.json"]
        == (GOLDEN / "v2_predictions_minus_9.5.json").read_text()
    )


def test_answers_that_stand_nowhere_are_told_of_when_they_are_read(caplog: pytest.LogCaptureFixture) -> None:
    lost = Question("q7", "when", CONTEXT, (GoldAnswer("tower", None, 4),), place="train.json, article 1 (q7)")
    with caplog.at_level(logging.WARNING):
        QuestionAnswering(version_2=False).check([lost], source="train.json")
    assert "train.json: 1 answers: 0 stand elsewhere than the file says, 1 nowhere" in caplog.text
    assert "train.json, article 1 (q7)" in caplog.text


@pytest.mark.parametrize("version_2", [True, False])
def test_every_candidate_is_an_exact_substring(version_2: bool) -> None:
    _, questions, answers = golden(version_2)
    for asked, answer in zip(questions, answers, strict=True):
        for one in (answer, *answer.candidates):
            assert (one.start is None) == (one.text == "")
            if one.start is not None:
                assert asked.context[one.start : one.end] == one.text


SPACES = st.text(
    st.sampled_from([*"ab .,'-1é北京ﬁİ", "\u00a0", "\u202f", "\u3000", "\u200b", "\ufffd", "🙂", "\u0301"])
)


@settings(deadline=None, max_examples=60)
@given(SPACES.filter(str.strip), st.integers(0, 2**32 - 1), st.booleans())
def test_answers_are_exact_substrings_of_any_text(context: str, seed: int, version_2: bool) -> None:
    task = QuestionAnswering(version_2=version_2, doc_stride=3, max_query_length=2, max_answer_length=4)
    asked = [Question("q", "why", context)]
    windows = task.encode(asked, UNCASED, max_length=12, has_labels=False)
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(len(windows), 12, 2, generator=generator).tolist()
    (answer,) = task.answers(asked, windows, results(task, windows, lambda window, place: tuple(logits[window][place])))
    for one in (answer, *answer.candidates):
        assert one.text == ("" if one.start is None else context[one.start : one.end])


def test_scores_are_those_of_the_official_evaluator_on_the_written_files(tmp_path: Path) -> None:
    task, questions, answers = golden(True, null_threshold=-9.5)
    write_answers(tmp_path, questions, answers)
    official = score_predictions(GOLDEN / "questions.json", tmp_path / "predictions.json")
    scores = task.score(questions, answers)
    assert next(iter(scores)) == "f1"
    for name in ("f1", "exact", "HasAns_f1", "HasAns_exact", "NoAns_f1", "NoAns_exact"):
        assert scores[name] == official[name] / 100


def test_the_best_threshold_reaches_the_best_score_when_it_is_used() -> None:
    task = QuestionAnswering(version_2=True, **GOOGLE)
    questions = task.read(GOLDEN / "questions.json")
    windows = task.encode(questions, UNCASED, max_length=64)

    def right_but_timid(window: int, place: int) -> tuple[float, float]:
        """Knows the answers, and leans to "no answer" everywhere; where there is none, by more."""
        first, last = windows[window].answer or (0, 0)
        null = 12.0 if questions[windows[window].example].is_impossible else 6.0
        return (null, 0.0) if place == 0 else (2.0 * (place == first), 2.0 * (place == last))

    kept = results(task, windows, right_but_timid)
    scores = task.score(questions, task.answers(questions, windows, kept))
    tuned = QuestionAnswering(version_2=True, null_threshold=scores["best_f1_thresh"], **GOOGLE)
    assert tuned.score(questions, tuned.answers(questions, windows, kept))["f1"] == scores["best_f1"] == 1.0
    assert scores["f1"] == scores["NoAns_f1"] * 2 / 9 == 2 / 9


@pytest.mark.parametrize(("metric", "names"), [("squad", ["f1", "exact_match"]), ("cmrc", ["average", "f1", "em"])])
def test_a_model_that_is_right_scores_one(tmp_path: Path, metric: str, names: list[str]) -> None:
    path = write(tmp_path / "a.json", question(CONTEXT, ("1790", 56)))
    task = from_dict(QuestionAnswering, {"metric": metric}).learned(read_questions(path))
    asked = task.read(path)
    (window,) = windows = task.encode(asked, UNCASED, max_length=64)
    first, last = window.answer or (0, 0)
    kept = results(task, windows, lambda _, place: (9.0 * (place == first), 9.0 * (place == last)))
    assert task.score(asked, task.answers(asked, windows, kept)) == dict.fromkeys(names, 1.0)


def test_the_version_is_learned_from_the_training_file(tmp_path: Path) -> None:
    possible = write(tmp_path / "a.json", question(CONTEXT, ("1790", 56)))
    impossible = write(tmp_path / "b.json", question(is_impossible=True))
    task = QuestionAnswering()
    assert task.learned(task.read(possible)).version_2 is False
    assert task.learned(task.read(impossible)).version_2 is True
    assert QuestionAnswering(version_2=False).learned(task.read(impossible)).version_2 is False


def test_a_question_without_the_answer_that_it_needs_is_named(tmp_path: Path) -> None:
    none = write(tmp_path / "a.json", question())
    impossible = write(tmp_path / "b.json", question(is_impossible=True))
    task = QuestionAnswering(version_2=False)
    with pytest.raises(DataError, match=r'a\.json.*\(q1\): has no answer; if its context has none, "is_impossible"'):
        task.check(task.read(none))
    with pytest.raises(DataError, match=r"b\.json.*\(q1\): has no answer; version_2 = true allows it"):
        task.check(task.read(impossible))
    QuestionAnswering(version_2=True).check(task.read(impossible))


def test_windows_that_do_not_count_are_in_no_loss(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.json",
        question(CONTEXT, ("1790", 56)),
        question(CONTEXT, ("tower", 0), id="q2"),
        question(CONTEXT, is_impossible=True, id="q3"),
    )
    task = QuestionAnswering(version_2=True)
    batch = task.collate(task.encode(task.read(path), UNCASED, max_length=64), pad_token_id=0)
    assert batch["start_positions"][1:].tolist() == [-1, 0]
    assert task.weigh(batch) == {"loss": torch.tensor(2)}
    model = tiny_model("bert", "question_answering", vocab_size=len(UNCASED), max_position_embeddings=64)
    both = model(**{name: values for name, values in batch.items() if name != "index"}).loss
    counted = {name: values[[0, 2]] for name, values in batch.items() if name != "index"}
    torch.testing.assert_close(both, model(**counted).loss)


def test_batches_are_labelled_wholly_or_not_at_all(tmp_path: Path) -> None:
    task = QuestionAnswering(version_2=False)
    asked = task.read(write(tmp_path / "a.json", question(CONTEXT, ("1790", 56))))
    with_labels = task.encode(asked, UNCASED, max_length=64)
    without = task.encode(asked, UNCASED, max_length=64, has_labels=False)
    assert "start_positions" not in task.collate(without, pad_token_id=0)
    with pytest.raises(DataError, match="1 of 2 windows in a batch are labelled"):
        task.collate([*with_labels, *without], pad_token_id=0)


@pytest.mark.parametrize("family", ["bert", "nezha"])
def test_a_model_answers_every_question_whatever_the_batches(family: str) -> None:
    model: Model = tiny_model(family, "question_answering", vocab_size=len(UNCASED), max_position_embeddings=64).eval()
    task = QuestionAnswering(version_2=True, **GOOGLE)
    questions = task.read(GOLDEN / "questions.json")
    windows = task.encode(questions, UNCASED, max_length=64, has_labels=False)
    found = []
    for size in (1, 7):
        kept: dict[int, Any] = {}
        for start in range(0, len(windows), size):
            batch = task.collate(windows[start : start + size], pad_token_id=0)
            with torch.no_grad():
                output = model(**{name: values for name, values in batch.items() if name != "index"})
            kept |= task.results(batch, output)
        found.append([answer.candidates[0].text for answer in task.answers(questions, windows, kept)])
    assert found[0] == found[1]
    assert len(found[0]) == 9


def test_a_record_says_what_was_asked_expected_and_answered() -> None:
    task, questions, answers = golden(True)
    record = json.loads(json.dumps(task.record(questions[0], answers[0])))
    assert record["id"] == "q1"
    assert record["answers"] == ["NASA"]
    assert questions[0].context[record["start"] : record["end"]] == record["predicted"]
    assert record["null_score"] == pytest.approx(-7.8547)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"doc_stride": 0}, "doc_stride"),
        ({"n_best": 0}, "n_best"),
        ({"max_answer_length": -1}, "max_answer_length"),
        ({"metric": "rouge"}, "metric"),
        ({"answer_style": "bert"}, "answer_style"),
        ({"metric": "cmrc", "version_2": True}, "'cmrc' knows no questions without answer"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        QuestionAnswering(**options)


def test_the_task_has_a_name_and_survives_a_table() -> None:
    task = QuestionAnswering(version_2=True, doc_stride=100)
    assert TASKS.get("question_answering") is QuestionAnswering
    assert from_dict(QuestionAnswering, to_dict(task)) == task


@pytest.mark.parametrize("name", ["dev-v1.1.part.json", "dev-v2.0.part.json"])
def test_the_labels_of_real_questions_score_as_their_answers(name: str) -> None:
    task = QuestionAnswering(doc_stride=128)
    asked = task.read(shared_data("squad", name))[:1500]
    task = task.learned(asked)
    windows = task.encode(asked, UNCASED, max_length=384)
    places = {window.index: window.answer or (0, 0) for window in windows}
    kept = results(
        task,
        windows,
        lambda window, place: (9.0 * (place == places[window][0] > 0), 9.0 * (place == places[window][1] > 0)),
    )
    scores = task.score(asked, task.answers(asked, windows, kept))
    assert scores.get("HasAns_f1", scores["f1"]) > 0.99
