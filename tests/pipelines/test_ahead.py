"""The next window is prepared while one is used, and neither order nor errors nor an early end suffer from it."""

from __future__ import annotations

import threading
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plm.errors import DataError, TokenizerError
from plm.pipelines import TOKENS_PER_BATCH, ahead, pipeline
from plm.pipelines.ahead import one_ahead, windows
from tests.tiny_folders import tiny_folder

PARTS = [range(3), range(3, 5), range(5, 6)]
TEXTS = ["the good film", "bad", "the old book was not very good", "night", "red sun red rain red day"] * 3


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "usable_cores", lambda: 2)


@given(sizes=st.lists(st.integers(0, 30), max_size=40), most=st.integers(1, 60))
@settings(deadline=None, max_examples=60)
def test_windows_hold_every_place_once_in_order_and_are_as_large_as_they_may_be(sizes: list[int], most: int) -> None:
    found = list(windows(sizes, most))
    assert [place for window in found for place in window] == list(range(len(sizes)))
    for window in found:
        assert len(window) == 1 or sum(sizes[place] for place in window) <= most
    for window, after in pairwise(found):
        assert sum(sizes[place] for place in window) + sizes[after[0]] > most


def test_the_next_part_is_made_while_one_is_used() -> None:
    begun = {part: threading.Event() for part in PARTS}

    def prepare(part: range) -> range:
        begun[part].set()
        return part

    with one_ahead(prepare, PARTS) as prepared:
        for part, after in zip(prepared, [*PARTS[1:], None], strict=True):
            assert after is None or begun[after].wait(10), f"{after} was not begun while {part} was used"


def test_at_most_one_part_is_made_ahead_and_none_after_an_early_end() -> None:
    made: list[range] = []

    def leave() -> None:
        with one_ahead(made.append, PARTS) as prepared:
            next(prepared)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        leave()
    assert made == PARTS[:2]
    assert not any(thread.name.startswith("plm-ahead") for thread in threading.enumerate())


def test_an_error_comes_in_the_place_of_its_part() -> None:
    def prepare(part: range) -> range:
        if part == PARTS[1]:
            raise DataError("no text")
        return part

    with one_ahead(prepare, PARTS) as prepared:
        assert next(prepared) == PARTS[0]
        with pytest.raises(DataError, match="no text"):
            next(prepared)


@pytest.mark.parametrize(("parts", "cores"), [(PARTS[:1], 2), (PARTS, 1), ([], 2)])
def test_no_thread_where_it_cannot_pay(parts: list[range], cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "usable_cores", lambda: cores)
    with one_ahead(lambda part: threading.current_thread(), parts) as prepared:
        assert list(prepared) == [threading.main_thread()] * len(parts)


@pytest.mark.parametrize("task", ["text-classification", "sentence-embedding"])
def test_a_thread_changes_no_bit_of_an_answer(task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = pipeline(task, tiny_folder(tmp_path, "bert", "sequence_classification"), tokens_per_batch=1)
    monkeypatch.setattr("plm.pipelines.texts.BATCHES_IN_A_WINDOW", 40)
    ahead_of_time = answer(TEXTS)
    monkeypatch.setattr(ahead, "usable_cores", lambda: 1)
    for one, other in zip(ahead_of_time, answer(TEXTS), strict=True):
        assert np.array_equal(one, other) if isinstance(one, np.ndarray) else one == other


def test_an_input_of_several_windows_is_answered_as_one_of_one_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = [
        ("the sun", "the old red book"),
        ("was the film bad", "not the film. " * 5),
        ("sun", "rain"),
    ] * 2
    folder = tiny_folder(tmp_path, "bert", "question_answering", max_position_embeddings=40)
    answer = pipeline("question-answering", folder, max_length=16)
    whole = answer(asked)
    monkeypatch.setattr("plm.pipelines.asking.BATCHES_IN_A_WINDOW", 32 / TOKENS_PER_BATCH)
    for one, other in zip(answer(asked), whole, strict=True):
        assert one["answer"] == other["answer"]
        assert one["score"] == pytest.approx(other["score"], rel=1e-4)


def test_a_text_without_tokens_in_a_later_window_is_named_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = pipeline("feature-extraction", tiny_folder(tmp_path, "openai-gpt"), tokens_per_batch=1)
    monkeypatch.setattr("plm.pipelines.texts.BATCHES_IN_A_WINDOW", 16)
    with pytest.raises(DataError, match=r"text 7: has no tokens \(''\)"):
        answer([*TEXTS[:7], "", *TEXTS])


def test_what_a_tokenizer_says_of_a_later_window_names_where_that_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = pipeline("sentence-embedding", tiny_folder(tmp_path, "bert"), tokens_per_batch=1)
    with pytest.raises(TokenizerError, match=r"^text\[1\]: holds"):
        answer(["night", "\ud800"])
    monkeypatch.setattr("plm.pipelines.texts.BATCHES_IN_A_WINDOW", 5)
    with pytest.raises(TokenizerError, match=r"^counted from text 2: text\[0\]: holds"):
        answer(["night", "night", "\ud800"])
