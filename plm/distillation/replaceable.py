"""The words of a text that augmentation may replace, and the case that another word takes in their place."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from plm.distillation.stop_words import CHINESE, ENGLISH
from plm.errors import DataError
from plm.registry import Registry

Span = tuple[int, int]
"""Where a word begins and ends in its text, in characters."""

Segmenter = Callable[[str], Iterable[str]]
"""A text -> its words in order, such as jieba.lcut; what it leaves out (blanks) belongs to no word."""


@dataclass(frozen=True)
class Language:
    """What may be replaced in a language.

    found: finds words in a text that no segmenter has split. word: what a word is, and so must be whatever replaces it.
    stop_words: never replaced; in lower case.
    """

    found: re.Pattern[str]
    word: re.Pattern[str]
    stop_words: frozenset[str]


LANGUAGES: Registry[Language] = Registry("language")


def replaceable(text: str, language: Language, segmenter: Segmenter | None = None) -> list[Span]:
    """The words that may be replaced, in order: whole words of letters that are no stop words.

    segmenter: says where words are; None = `language.found` does.
    Raises DataError when the segmenter tells of words that are not there.
    """
    if segmenter is None:
        spans = [match.span() for match in language.found.finditer(text)]
    else:
        spans = [span for span in _segments(text, segmenter) if language.word.fullmatch(text, *span)]
    return [(start, end) for start, end in spans if text[start:end].lower() not in language.stop_words]


def in_case_of(word: str, model: str) -> str:
    """A word in lower case, with a capital or in capitals, as `model` is written; else as it comes.

    >>> [in_case_of("movie", model) for model in ("film", "Film", "FILM", "iFilm")]
    ['movie', 'Movie', 'MOVIE', 'movie']
    """
    if model.islower():
        return word.lower()
    if model.isupper() and len(model) > 1:
        return word.upper()
    return word[:1].upper() + word[1:] if model.istitle() else word


def other_words(options: Iterable[str], word: str) -> list[str]:
    """The options that are not the word, each once, whatever their case: of two that differ in case, the first."""
    others: dict[str, str] = {}
    for option in options:
        others.setdefault(option.lower(), option)
    others.pop(word.lower(), None)
    return list(others.values())


def _segments(text: str, segmenter: Segmenter) -> Iterable[Span]:
    end = 0
    for segment in segmenter(text):
        start = text.find(segment, end)
        if start < 0:
            raise DataError(f"the segmenter found {segment!r}, which does not stand in {text[end:]!r:.60}")
        end = start + len(segment)
        yield start, end


# Latin letters with those of other European alphabets; neither digits nor the signs for times and division.
_LATIN = "[A-Za-zÀ-ÖØ-öø-ɏ]"
_HAN = "[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"

# Two letters or more between what is no letter, digit or accent; no part of don't or 'll, but the film of film's.
_ENGLISH_WORD = rf"(?<![\w\u0300-\u036f])(?<!\w['’]){_LATIN}{{2,}}(?![\w\u0300-\u036f])(?!['’](?:t|re|ve|ll|d|m)\b)"

LANGUAGES.add("en", Language(re.compile(_ENGLISH_WORD, re.IGNORECASE), re.compile(f"{_LATIN}+"), ENGLISH))
LANGUAGES.add("zh", Language(re.compile(_HAN), re.compile(f"{_HAN}+"), CHINESE))
