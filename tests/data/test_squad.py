"""Questions from files: both formats, answers that stand elsewhere, and errors that name the place."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plm.data.squad import GoldAnswer, Oddities, gold_texts, nearest, read_questions
from plm.errors import DataError
from tests.reading import CONTEXT, question, write
from tests.shared_data import shared_data


def test_an_answer_keeps_its_text_and_place(tmp_path: Path) -> None:
    (asked,) = read_questions(write(tmp_path / "a.json", question(CONTEXT, ("1790", 56))))
    assert (asked.id, asked.question, asked.context, asked.is_impossible) == (
        "q1",
        "When was it built?",
        CONTEXT,
        False,
    )
    assert asked.answers == (GoldAnswer("1790", 56, 56),)
    assert CONTEXT[56:60] == "1790"
    assert asked.place == f"{tmp_path / 'a.json'}, article 1 'Mill', paragraph 1, question 1 (q1)"


def test_the_format_of_cmrc_is_read_alike(tmp_path: Path) -> None:
    path = tmp_path / "cmrc.json"
    asked = {"query_id": "T_1", "query_text": "何时?", "answers": ["一九", "十九"]}
    path.write_text(
        json.dumps([{"context_id": "T", "context_text": "建于一九一二年", "qas": [asked]}]), encoding="utf-8"
    )
    (found,) = read_questions(path)
    assert (found.id, found.question, found.context) == ("T_1", "何时?", "建于一九一二年")
    assert found.answers == (GoldAnswer("一九", 2), GoldAnswer("十九", None))
    assert gold_texts([found]) == {"T_1": ("一九", "十九")}


def test_compressed_files_and_byte_order_marks_are_read(tmp_path: Path) -> None:
    text = json.dumps({"data": [question()]})
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(text.encode("utf-8-sig")))
    assert len(read_questions(tmp_path / "a.json.gz")) == 1


def test_answers_may_be_missing_where_a_file_is_to_be_predicted(tmp_path: Path) -> None:
    article = question()
    del article["paragraphs"][0]["qas"][0]["answers"]
    assert read_questions(write(tmp_path / "a.json", article))[0].answers == ()


def test_an_impossible_question_says_so(tmp_path: Path) -> None:
    (asked,) = read_questions(write(tmp_path / "a.json", question(is_impossible=True)))
    assert asked.is_impossible
    assert asked.answers == ()


@pytest.mark.parametrize(
    ("text", "stated", "start"),
    [
        ("mill", 38, 38),
        ("mill", 36, 38),
        ("mill", 9, 8),
        ("mill", -1, 8),
        ("mill", 999, 8),
        ("tower", 4, None),
        ("", 3, None),
    ],
)
def test_an_answer_that_stands_elsewhere_gets_the_nearest_place(text: str, stated: int, start: int | None) -> None:
    assert nearest(CONTEXT, text, stated) == start


@settings(deadline=None, max_examples=100)
@given(st.text("ab ", max_size=30), st.text("ab ", min_size=1, max_size=3), st.integers(-2, 35))
def test_no_place_is_nearer_than_the_nearest(context: str, text: str, stated: int) -> None:
    places = [place for place in range(len(context)) if context.startswith(text, place)] if text.strip() else []
    asked = stated if 0 <= stated <= len(context) else 0
    assert nearest(context, text, stated) == min(places, key=lambda place: (abs(place - asked), place), default=None)


def test_oddities_are_counted_and_the_first_is_named(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.json",
        question(CONTEXT, ("1790", 56)),
        question(CONTEXT, ("1790", 3), ("tower", 0), id="q2"),
        question(CONTEXT, ("tower", 0), id="q3"),
        question(CONTEXT, ("1790", 56), id="q4", question=" "),
    )
    oddities = Oddities.of(read_questions(path))
    assert oddities
    counts = (oddities.answers, oddities.moved, oddities.lost, oddities.unusable, oddities.blank)
    assert counts == (5, 1, 2, 1, 1)
    assert oddities.first == f"{path}, article 2 'Mill', paragraph 1, question 1 (q2)"
    assert oddities.first in str(oddities)
    assert not Oddities.of(read_questions(path)[:1])


QAS: tuple[Any, ...] = ("data", 0, "paragraphs", 0, "qas", 0)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("data",), {}, "'data': expected a list, got dict"),
        (("data", 0), 7, "article 1: expected a JSON object, got int"),
        (("data", 0, "paragraphs"), None, "article 1 'Mill', 'paragraphs': expected a list, got NoneType"),
        (("data", 0, "paragraphs", 0), [], "paragraph 1: expected a JSON object, got list"),
        (("data", 0, "paragraphs", 0, "context"), " ", "'context': expected a text not blank"),
        (("data", 0, "paragraphs", 0, "context"), 3, "'context': expected a text not blank, got 3"),
        (QAS, "why", "question 1: expected a JSON object, got str"),
        ((*QAS, "id"), 5, "question 1, 'id': expected a text"),
        ((*QAS, "id"), "", "question 1, 'id': expected a text"),
        ((*QAS, "question"), None, r"question 1 \(q1\), 'question': expected a text"),
        ((*QAS, "is_impossible"), "yes", r"\(q1\), 'is_impossible': expected true or false, got 'yes'"),
        ((*QAS, "answers"), {"text": "x"}, r"\(q1\), 'answers': expected a list, got dict"),
        ((*QAS, "answers"), [4], r"\(q1\), answer 1: expected a JSON object, got int"),
        ((*QAS, "answers", 0, "text"), None, r"\(q1\), answer 1, 'text': expected a text"),
        ((*QAS, "answers", 0, "answer_start"), "56", r"\(q1\), answer 1, 'answer_start': expected a number"),
        ((*QAS, "answers", 0, "answer_start"), True, r"\(q1\), answer 1, 'answer_start': expected a number"),
    ],
)
def test_wrong_shapes_are_errors_with_their_place(
    tmp_path: Path, path: tuple[Any, ...], value: object, message: str
) -> None:
    values: Any = {"data": [question(CONTEXT, ("1790", 56))]}
    inner = values
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    (tmp_path / "a.json").write_text(json.dumps(values))
    with pytest.raises(DataError, match=rf"^{tmp_path}/a\.json.*{message}"):
        read_questions(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "holds no questions"),
        ('{"data": []}', "holds no questions"),
        ('{"version": "1.1"}', r"has no 'data' \(it has: 'version'\)"),
        ("3", "expected a JSON object, got int"),
        ('[{"qas": []}]', "has neither 'context' nor 'context_text'"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match=rf"a\.json.*{message}"):
        read_questions(tmp_path / "a.json")


def test_an_id_that_stands_twice_names_both_places(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", question(), question())
    with pytest.raises(DataError, match=r"article 2 .*\(q1\): the id stands already at article 1"):
        read_questions(path)


@pytest.mark.parametrize(
    ("name", "questions", "odd"),
    [
        (("squad", "dev-v1.1.part.json"), 5510, (0, 0)),
        (("squad", "dev-v2.0.part.json"), 6078, (0, 0)),
        (("mrc_zh", "cmrc2018_dev_part.json"), 1598, (4, 91)),
        (("mrc_zh", "cmrc2018_trial_original_format_20.json"), 82, (0, 0)),
        (("mrc_zh", "drcd_dev_traditional.json"), 3524, (0, 0)),
    ],
)
def test_real_files_are_read_whole(name: tuple[str, str], questions: int, odd: tuple[int, int]) -> None:
    found = read_questions(shared_data(*name))
    assert len(found) == questions
    assert all(
        one.context[answer.start : answer.start + len(answer.text)] == answer.text
        for one in found
        for answer in one.located
        if answer.start is not None
    )
    oddities = Oddities.of(found)
    assert (oddities.moved, oddities.lost) == odd
