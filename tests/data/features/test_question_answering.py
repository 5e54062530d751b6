"""Windows of questions and contexts: Google's to the last id, every token of the context, answers by characters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plm.data.columns import column_of
from plm.data.features.question_answering import NO_ANSWER, NOT_COUNTED, Places, Window, encode_questions
from plm.data.features.windows import stretches
from plm.data.squad import GoldAnswer, Question, read_questions
from plm.errors import ConfigError
from plm.tokenizers import Tokenizer, load_tokenizer
from tests.reading import CONTEXT, GOLDEN, answered, chinese, plain, uncased
from tests.tiny_folders import WORDS, bpe_files

UNCASED = uncased()
CHINESE = chinese()
SIZES: dict[str, Any] = {"max_length": 64, "doc_stride": 24, "max_query_length": 10}


def asked(context: str, *answers: tuple[str, int], **changes: Any) -> Question:
    gold = tuple(GoldAnswer(text, start, start) for text, start in answers)
    return Question(id="q", question="when was it built", context=context, answers=gold, **changes)


def text(window: Window, context: str) -> str:
    """The characters of the context that the labels of a window mean."""
    assert window.answer is not None
    first, last = map(window.token, window.answer)
    return context[window.spans[first - window.first_token, 0] : window.spans[last - window.first_token, 1]]


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("google", [False, True])
def test_windows_are_those_of_google(version: str, google: bool) -> None:
    questions = read_questions(GOLDEN / "questions.json")
    questions = questions if version == "v2" else answered(questions)
    windows = encode_questions(questions, UNCASED, google=google, **SIZES)
    expected = json.loads((GOLDEN / "features.json").read_text())[version]
    found = [
        {
            "id": questions[window.example].id,
            "input_ids": window.input_ids,
            "token_type_ids": window.token_type_ids,
            "context": [window.first_position, window.first_position + window.stretch],
            "max_context": list(range(*window.counted)),
            "answer": list(window.answer or ()),
        }
        for window in windows
    ]
    assert found == expected
    assert [window.index for window in windows] == list(range(len(windows)))


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 300), st.integers(1, 60), st.integers(1, 80))
def test_every_token_is_in_a_window_and_counts_in_exactly_one_that_shows_most(
    count: int, room: int, stride: int
) -> None:
    found = stretches(count, room, stride)
    counted = [place for one in found for place in range(one.counted_from, one.counted_to)]
    assert counted == list(range(count))
    assert all(one.length <= room for one in found)
    for place in range(count):
        shown = [
            min(place - one.first, one.first + one.length - 1 - place) + 0.01 * one.length
            if one.first <= place < one.first + one.length
            else -1.0
            for one in found
        ]
        (best,) = (number for number, one in enumerate(found) if one.counted_from <= place < one.counted_to)
        assert best == shown.index(max(shown))


TEXTS = st.text(
    st.sampled_from([*"abz .,'-19é北京ﬁ", "\u00a0", "\u202f", "\u3000", "\u200b", "\ufffd", "\x00", "🙂", "\u0301"])
)


@settings(deadline=None, max_examples=150)
@given(TEXTS.filter(str.strip), st.data())
@pytest.mark.parametrize("google", [False, True])
def test_labels_are_tokens_that_hold_the_answer(google: bool, context: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(context) - 1))
    end = data.draw(st.integers(start + 1, len(context)))
    question = asked(context, (context[start:end], start))
    windows = encode_questions([question], UNCASED, max_length=24, doc_stride=5, max_query_length=4, google=google)
    for window in windows:
        assert len(window.input_ids) <= 24
        assert window.answer is not None
        if window.answer not in ((NO_ANSWER, NO_ANSWER), (NOT_COUNTED, NOT_COUNTED)):
            first, last = map(window.token, window.answer)
            spans = Places.of(windows).spans
            assert 0 <= first <= last < len(spans)
            if not google:
                assert spans[first, 1] > start
                assert spans[last, 0] < end
                assert first == 0 or spans[first - 1, 1] <= start
                assert last == len(spans) - 1 or spans[last + 1, 0] >= end


def test_the_first_answer_that_stands_in_the_context_is_learned() -> None:
    question = Question(
        "q", "when", CONTEXT, (GoldAnswer("tower", None, 4), GoldAnswer("1790", 56, 56), GoldAnswer("1812", 79, 79))
    )
    (window,) = encode_questions([question], UNCASED, **SIZES)
    assert text(window, CONTEXT) == "1790"


def test_an_answer_that_stands_nowhere_does_not_count() -> None:
    question = Question("q7", "when", CONTEXT, (GoldAnswer("tower", None, 4),))
    (window,) = encode_questions([question], UNCASED, **SIZES)
    assert window.answer == (NOT_COUNTED, NOT_COUNTED)


def test_windows_to_predict_have_no_labels() -> None:
    question = Question("q7", "when", CONTEXT, (GoldAnswer("tower", None, 4),))
    (window,) = encode_questions([question], UNCASED, has_labels=False, **SIZES)
    assert window.answer is None


def test_impossible_questions_point_at_the_first_token_whatever_answers_they_have() -> None:
    windows = encode_questions([asked("mill " * 100, ("mill", 0), is_impossible=True)], UNCASED, **SIZES)
    assert len(windows) > 1
    assert {window.answer for window in windows} == {(NO_ANSWER, NO_ANSWER)}


def test_an_answer_longer_than_a_window_is_in_none() -> None:
    context = "mill " * 100
    windows = encode_questions([asked(context, (context.strip(), 0))], UNCASED, **SIZES)
    assert {window.answer for window in windows} == {(NO_ANSWER, NO_ANSWER)}


def test_very_long_questions_are_cut() -> None:
    question = Question("q", "why " * 5000, CONTEXT)
    (window,) = encode_questions([question], UNCASED, has_labels=False, **SIZES)
    assert window.first_position == 1 + 10 + 1


def test_blank_questions_and_contexts_without_tokens_have_one_window() -> None:
    questions = [Question("a", " ", CONTEXT), Question("b", "why", "\u200b\ufffd")]
    blank, empty = encode_questions(questions, UNCASED, has_labels=False, **SIZES)
    assert blank.first_position == 2
    assert empty.stretch == 0
    assert empty.counted == (empty.first_position, empty.first_position)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"max_length": 0}, "max_length: expected a positive number of tokens, got 0"),
        ({"doc_stride": 0}, "doc_stride: expected a positive"),
        ({"max_query_length": -1}, "max_query_length: expected a positive"),
        ({"max_length": 2}, "max_length leaves 0 tokens for question 'q' and its context.*take a larger max_length$"),
        ({"max_length": 7}, "max_length leaves 4 tokens for question 'q' and its context, and the question takes 4"),
    ],
)
def test_sizes_that_leave_no_room_are_refused(sizes: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        encode_questions([asked(CONTEXT)], UNCASED, **{**SIZES, **sizes})


def test_chinese_answers_are_exact_characters() -> None:
    context = "明朝建于一三六八年，都城在南京。"
    (window,) = encode_questions([asked(context, ("一三六八年", 4))], CHINESE, **SIZES)
    assert text(window, context) == "一三六八年"


def test_a_tokenizer_without_special_tokens_frames_nothing(tmp_path: Path) -> None:
    for name, content in bpe_files(WORDS).items():
        (tmp_path / name).write_text(content)
    gpt1: Tokenizer = load_tokenizer(tmp_path)
    context = "the old book was very good"
    (window,) = encode_questions(
        [Question("q", "the book", context, (GoldAnswer("very good", 17, 17),))], gpt1, **SIZES
    )
    assert text(window, context) == "very good"
    assert window.first_position == 2
    with pytest.raises(ConfigError, match="need a WordPiece tokenizer"):
        encode_questions([asked(context)], gpt1, google=True, **SIZES)


def test_questions_about_a_text_share_its_tokens() -> None:
    first, second = encode_questions([asked(CONTEXT), asked(CONTEXT)], UNCASED, has_labels=False, **SIZES)
    assert np.shares_memory(first.spans, second.spans)
    assert (first.example, second.example) == (0, 1)


@pytest.mark.parametrize("google", [False, True])
def test_windows_can_be_stored_and_say_the_same(google: bool) -> None:
    windows = encode_questions(read_questions(GOLDEN / "questions.json"), UNCASED, google=google, **SIZES)
    column = column_of(Window)
    stored = column.unpack(column.pack(windows, "window"), "window")(0, len(windows))
    assert len(stored) == len(windows) > 3
    for one, other in zip(windows, stored, strict=True):
        assert one.spans.dtype == other.spans.dtype
        assert plain(one) == plain(other)
