"""Which words of a text may be replaced, and in which case."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plm.distillation.replaceable import LANGUAGES, in_case_of, other_words, replaceable
from plm.errors import DataError

ENGLISH, CHINESE = LANGUAGES.get("en"), LANGUAGES.get("zh")


def words(text: str, language: str = "en") -> list[str]:
    return [text[start:end] for start, end in replaceable(text, LANGUAGES.get(language))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The film was not very good .", ["film", "good"]),
        ("NOT a Film", ["Film"]),
        ("film's well-known (acting)", ["film", "well", "known", "acting"]),
        ("don't didn’t we'll does n't it 's", []),
        ("'quoted' ‘words’ \"here\" film.", ["quoted", "words", "film"]),
        ("H2O 3D mp3 snake_case x", []),
        ("Café naïve cafe\u0301 Straße", ["Café", "naïve", "Straße"]),
        ("кино 电影 film电影", []),
        ("", []),
    ],
)
def test_english_words_are_whole_words_of_letters(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_chinese_characters_are_words_unless_a_segmenter_says_more() -> None:
    assert words("我喜欢这部电影, OK!", "zh") == ["喜", "欢", "部", "电", "影"]
    segmented = replaceable(
        "我喜欢这部 电影, OK!", CHINESE, lambda text: ["我", "喜欢", "这", "部", "电影", ",", "OK", "!"]
    )
    assert segmented == [(1, 3), (4, 5), (6, 8)]


def test_a_segmenter_that_invents_words_is_an_error() -> None:
    with pytest.raises(DataError, match="the segmenter found '书', which does not stand in '影'"):
        replaceable("电影", CHINESE, lambda text: ["电", "书"])


@pytest.mark.parametrize(
    ("word", "model", "expected"),
    [
        ("Paris", "rome", "paris"),
        ("paris", "Rome", "Paris"),
        ("NASA", "Rome", "NASA"),
        ("paris", "ROME", "PARIS"),
        ("paris", "A", "Paris"),
        ("MacBook", "iPhone", "MacBook"),
        ("影", "电", "影"),
    ],
)
def test_a_word_takes_the_case_of_what_it_replaces(word: str, model: str, expected: str) -> None:
    assert in_case_of(word, model) == expected


def test_other_words_are_different_ones() -> None:
    assert other_words(["Good", "fine", "Fine", "good", "great"], "GOOD") == ["fine", "great"]


@settings(deadline=None)
@given(st.text())
def test_words_never_overlap_and_are_what_may_replace_a_word(text: str) -> None:
    for language in (ENGLISH, CHINESE):
        spans = replaceable(text, language)
        assert spans == sorted(spans)
        assert all(before[1] <= after[0] for before, after in pairwise(spans))
        assert all(language.word.fullmatch(text[start:end]) for start, end in spans)
