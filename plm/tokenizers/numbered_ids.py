"""The ids of many words, found by the words' numbers, a million at a time."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int32]
Numbers = NDArray[np.int32]
Places = NDArray[np.int64]
Integer = TypeVar("Integer", np.int32, np.int64)


class NumberedIds:
    """Words numbered 0, 1, 2, ..., each with its ids, in flat arrays that grow."""

    def __init__(self) -> None:
        self._size = self._filled = 0
        self._single = np.empty(1 << 10, np.int32)  # the id of a word that has one, else -1
        self._starts = np.zeros(1 << 10, np.int64)  # the ids of word n are _ids[_starts[n] : _starts[n] + _lengths[n]]
        self._lengths = np.zeros(1 << 10, np.int64)
        self._ids = np.empty(1 << 12, np.int32)

    def __len__(self) -> int:
        return self._size

    def append(self, ids: Ids, lengths: Places) -> None:
        """Give the next numbers to words. ids: of all, one after the other; lengths: (words,), how many each has."""
        size, filled = self._size + len(lengths), self._filled + len(ids)
        self._single, self._ids = _grown(self._single, size), _grown(self._ids, filled)
        self._starts, self._lengths = _grown(self._starts, size), _grown(self._lengths, size)
        starts = self._filled + np.cumsum(lengths) - lengths
        self._ids[self._filled : filled] = ids
        self._starts[self._size : size] = starts
        self._lengths[self._size : size] = lengths
        self._single[self._size : size] = np.where(lengths == 1, self._ids.take(starts, mode="clip"), -1)
        self._size, self._filled = size, filled

    def take(self, numbers: Numbers, ends: Places) -> tuple[Ids, Places]:
        """The ids of words one after the other.

        numbers: (words,). ends: (parts,), rising, in [0, words]: how many words come before the end of each part.
        Returns the ids, and how many of them come before the end of each part.
        """
        single = self._single.take(numbers)
        others = np.flatnonzero(single < 0)  # words that have not one id: few, so that the rest moves as it is
        lengths = self._lengths.take(numbers[others])
        extra = np.concatenate([[0], np.cumsum(lengths - 1)])
        ends = ends + extra[np.searchsorted(others, ends)]
        ids = np.empty(len(numbers) + extra[-1], np.int32)
        here = _ranges(others + extra[:-1], lengths)
        is_single = np.ones(len(ids), np.bool_)
        is_single[here] = False
        ids[is_single] = single[single >= 0]
        ids[here] = self._ids.take(_ranges(self._starts.take(numbers[others]), lengths))
        return ids, ends

    def truncate(self, size: int) -> None:
        """Forget the numbers from `size` on."""
        if size < self._size:
            self._filled = int(self._starts[size])
            self._size = size


def _ranges(starts: Places, lengths: Places) -> Places:
    """start, start + 1, ... for each of `starts`, `lengths` many of them."""
    ends = np.cumsum(lengths)
    ranges = np.repeat(starts - ends + lengths, lengths)
    ranges += np.arange(len(ranges))
    return ranges


def _grown(array: NDArray[Integer], size: int) -> NDArray[Integer]:
    """The array with room for `size` at least."""
    room = size - len(array)
    return array if room <= 0 else np.concatenate([array, np.empty(max(room, len(array) // 2), array.dtype)])
