"""Words of text that is written without spaces, so that Chinese words are masked as a whole.

segmenter = DictionarySegmenter("words.txt")
segmenter("他来到了网易大厦")           # ['他', '来到', '了', '网易', '大厦']
starts = word_starts(lines, *cache.encode(lines), segmenter=segmenter, cache=cache)
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import math
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from plm.errors import DataError, optional_import
from plm.tokenizers import Tokenizer
from plm.tokenizers.word_cache import WordCache

_HAN = "〇㐀-䶿一-鿿豈-﫿\U00020000-\U000323af"
_SPANS = re.compile(rf"([{_HAN}]+)|[^\W{_HAN}]+|\s+|.", re.DOTALL)


class Segmenter(Protocol):
    """Cuts a text into words. Travels to other processes; its repr tells it from segmenters that cut otherwise."""

    def __call__(self, text: str) -> list[str]:
        """The words, which joined are the text; white space and punctuation count as words."""


class DictionarySegmenter:
    """The likeliest words of a dictionary, each drawn for itself by its frequency.

    Chinese characters that no word holds stand alone, and so do other signs; runs of letters and digits of other
    scripts are words. Words that the dictionary lacks are not guessed, as jieba does.
    """

    def __init__(self, path: Path | str) -> None:
        """path: UTF-8, in each line a word, its frequency and, unread, its part of speech: jieba's form.

        Raises DataError naming the line that is not so.
        """
        self.path = Path(path)
        raw = _bytes(self.path)
        frequencies = dict(_entries(raw, self.path))
        total = sum(frequencies.values())
        if not total:
            raise DataError(f"{path}: expected words with frequencies, got none above 0")
        self._name = f"{self.path.name}, {len(frequencies)} words, sha256 {hashlib.sha256(raw).hexdigest()[:16]}"
        self._unknown = -math.log(total)
        # Logarithm of the share of a word. What words only begin with is there too: the search stops where nothing is.
        self._shares: dict[str, float] = {}
        for word, frequency in frequencies.items():
            for end in range(1, len(word)):
                self._shares.setdefault(word[:end], self._unknown if end == 1 else -math.inf)
            if frequency:
                self._shares[word] = math.log(frequency / total)

    def __call__(self, text: str) -> list[str]:
        """The words, which joined are the text."""
        words: list[str] = []
        for span in _SPANS.finditer(text):
            if span[1] is None or len(span[1]) == 1:
                words.append(span[0])
            else:
                words += self._cut(span[1])
        return words

    def _cut(self, text: str) -> Iterator[str]:
        """The likeliest words of Chinese characters: from the last character on, the best word to begin at each."""
        share_of, unknown, count = self._shares.get, self._unknown, len(text)
        best = [0.0] * (count + 1)  # logarithm of the probability of all that follows
        after = list(range(1, count + 2))
        for start in range(count - 1, -1, -1):
            end = start + 1
            share = share_of(text[start])
            if share is None:
                best[start] = unknown + best[end]
                continue
            most = -math.inf
            while share is not None:
                if (likely := share + best[end]) >= most:  # of equals the longer
                    most, after[start] = likely, end
                end += 1
                share = share_of(text[start:end]) if end <= count else None
            best[start] = most
        start = 0
        while start < count:
            yield text[start : after[start]]
            start = after[start]

    def __reduce__(self) -> tuple[type[DictionarySegmenter], tuple[Path]]:
        return DictionarySegmenter, (self.path.absolute(),)

    def __repr__(self) -> str:
        return f"DictionarySegmenter({self._name})"


class JiebaSegmenter:
    """The words of the package jieba, with its own dictionary and its guesses at words that it does not know."""

    def __init__(self) -> None:
        """Raises BackendUnavailable where the package is missing."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of jieba's own imports and patterns
            self._jieba: Any = optional_import("jieba", extra="zh", purpose="finding Chinese words with jieba")
        self._jieba.setLogLevel(logging.WARNING)  # it reports every loading of its dictionary

    def __call__(self, text: str) -> list[str]:
        """The words, which joined are the text."""
        words: list[str] = self._jieba.lcut(text)
        return words

    def __reduce__(self) -> tuple[type[JiebaSegmenter], tuple[()]]:
        return JiebaSegmenter, ()

    def __repr__(self) -> str:
        return f"jieba {self._jieba.__version__}"


def named_segmenter(name: str) -> Segmenter:
    """The segmenter that users name: "jieba", or a file for DictionarySegmenter. Raises what these raise."""
    return JiebaSegmenter() if name == "jieba" else DictionarySegmenter(name)


def word_starts(
    lines: Sequence[str],
    ids: NDArray[Any],
    lengths: NDArray[Any],
    *,
    segmenter: Segmenter,
    cache: WordCache,
) -> NDArray[np.bool_]:
    """(tokens of all lines,), True = a word begins at this token.

    ids, lengths: of the lines, as `cache.encode(lines)` gives them. The same as `line_word_starts` for each line: where
    the words one by one have the ids of the line, their first ids are the starts; other lines are looked at closely.
    Raises DataError when the segmenter's words are not the text.
    """
    words = [segmenter(line) for line in lines]
    for line, parts in zip(lines, words, strict=True):
        if "".join(parts) != line:
            raise DataError(f"{segmenter!r}: expected words that joined are the text {line!r:.80}, got {parts!r:.80}")
    word_ids, word_lengths = cache.encode(list(itertools.chain.from_iterable(words)))
    starts = _first_of(word_ids, word_lengths)
    ends = np.cumsum(lengths)
    word_ends = _before(word_lengths)[np.cumsum(list(map(len, words)), dtype=np.int64)]
    if np.array_equal(ends, word_ends) and np.array_equal(ids, word_ids):
        return starts
    found: list[NDArray[np.bool_]] = []
    for place, (ours, theirs) in enumerate(zip(_slices(ends), _slices(word_ends), strict=True)):
        same = np.array_equal(ids[ours], word_ids[theirs])
        found.append(starts[theirs] if same else line_word_starts(lines[place], words[place], cache.tokenizer))
    return np.concatenate(found)


def line_word_starts(line: str, words: Sequence[str], tokenizer: Tokenizer) -> NDArray[np.bool_]:
    """(tokens,), True = a word begins at this token of the line.

    words: joined they are the line. A token is of the word that its first character is of. One that goes on in the
    middle of what the tokenizer takes for a word ("##ing") never begins one; so "caf" and "é", whose tokens are "cafe",
    or "ca" and "##fe", begin one word together.
    """
    batch = tokenizer(line, add_special_tokens=False, return_offsets_mapping=True)
    first = np.array([start for start, _ in batch["offset_mapping"]], dtype=np.int64)
    pieces = np.array(batch.word_ids(), dtype=np.int64)
    word_of = np.repeat(np.arange(len(words)), list(map(len, words)))[first]
    return _differs(word_of) & _differs(pieces)


def _differs(values: NDArray[np.int64]) -> NDArray[np.bool_]:
    """True where a value is not the one before; the first has none before."""
    differs: NDArray[np.bool_] = np.diff(values, prepend=-1) != 0
    return differs


def _first_of(ids: NDArray[Any], lengths: NDArray[np.int64]) -> NDArray[np.bool_]:
    first = np.zeros(len(ids), np.bool_)
    first[_before(lengths)[:-1][lengths > 0]] = True
    return first


def _before(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """(parts + 1,): how many come before each part, then all."""
    return np.concatenate([[0], np.cumsum(lengths)])


def _slices(ends: NDArray[np.int64]) -> Iterator[slice]:
    return itertools.starmap(slice, itertools.pairwise([0, *ends.tolist()]))


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: expected a list of words with frequencies, cannot read it: {error}") from error


def _entries(raw: bytes, path: Path) -> Iterator[tuple[str, int]]:
    """Word and frequency of each line."""
    for number, line in enumerate(raw.splitlines(), start=1):
        fields = line.decode("utf-8-sig", errors="replace").split()
        if len(fields) not in (2, 3) or not fields[1].isdecimal() or "\ufffd" in fields[0]:
            found = " ".join(fields)
            raise DataError(
                f"{path}, line {number}: expected a word, its frequency and its kind in UTF-8, got {found!r:.80}"
            )
        yield fields[0], int(fields[1])
