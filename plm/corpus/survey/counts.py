"""Counts of any number of values within bounded memory, the same in whatever portions the values come."""

from __future__ import annotations

import base64
import copy
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Hashes = NDArray[np.uint64]
Heads = NDArray[np.uint8]

# Hashes that are remembered: 1 MB, and an estimate of the distinct sentences with a standard error of 0.3 to 0.4 %.
MEMORY = 1 << 17

# One in so many of them is counted, with how its sentence begins: 0.5 MB, and as much that waits to be counted.
_COUNTERS = 16

HEAD_BYTES = 48
"""UTF-8 bytes of a sentence that are kept for quoting it; the last one only tells that there were more."""

_EXACT_BITS = 10
_STEPS = 1 << (_EXACT_BITS - 1)


class Histogram:
    """How often each size came: exactly below 1024, above with an error of 0.2 % at most (512 steps to a doubling).

    counts: by step. total: sum of all sizes. largest: of them, exactly; 0 = none came.
    """

    def __init__(self) -> None:
        self.counts: Integers = np.zeros(0, dtype=np.int64)
        self.total = 0
        self.largest = 0

    @classmethod
    def of(cls, sizes: Integers) -> Histogram:
        """Of sizes from 0 to 2^40."""
        histogram = cls()
        histogram.counts = np.bincount(_steps(sizes)).astype(np.int64)
        histogram.total, histogram.largest = int(sizes.sum()), int(sizes.max(initial=0))
        return histogram

    def merge(self, other: Histogram) -> None:
        """Count what the other one counted."""
        long, short = sorted((self.counts, other.counts), key=len, reverse=True)
        self.counts = long.copy()
        self.counts[: len(short)] += short
        self.total += other.total
        self.largest = max(self.largest, other.largest)

    @property
    def number(self) -> int:
        """Sizes that came."""
        return int(self.counts.sum())

    @property
    def mean(self) -> float:
        """0 for none."""
        return self.total / max(self.number, 1)

    def quantile(self, share: float) -> int:
        """The smallest size that at least this share of the sizes does not exceed; 0 for none."""
        if not self.number:
            return 0
        return _size(int(np.searchsorted(np.cumsum(self.counts), max(share * self.number, 1))))

    def above(self, size: int) -> int:
        """How many sizes are larger; exact for a size below 1023."""
        return int(self.counts[int(_steps(np.array([size + 1]))[0]) :].sum())

    def ranges(self) -> list[tuple[int, int, int]]:
        """(first size, last size, how often) from one power of two to the next, from the smallest that came."""
        edges = [0, *(1 << bits for bits in range(self.largest.bit_length() + 1))]
        places = np.minimum(_steps(np.array(edges)), len(self.counts))
        counted = [
            (first, last - 1, int(self.counts[start:end].sum()))
            for first, last, start, end in zip(edges[:-1], edges[1:], places[:-1], places[1:], strict=True)
        ]
        begin = next((place for place, row in enumerate(counted) if row[2]), len(counted))
        return counted[begin:]

    def state_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {"counts": packed(self.counts), "total": self.total, "largest": self.largest}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self.counts = unpacked(state["counts"], np.int64)
        self.total, self.largest = state["total"], state["largest"]


class Repeats:
    """How many of the sentences are distinct, and which ones come most often.

    memory: hashes to remember. Up to as many distinct sentences, their number is exact. Beyond, only hashes below a
    limit are kept, which is halved whenever there are too many: they stand for all, and since the limit depends on
    nothing but the set of sentences, so does the estimate. Source: Wegman's adaptive sampling (Flajolet 1990).
    The most frequent ones are found by a summary of memory / 16 counters (Misra and Gries 1982; merging as in Agarwal
    et al. 2012), fed with portions of as many sentences: none that makes a larger share of all than one in memory / 16
    is missed, and counts fall short by at most `lost`.
    """

    def __init__(self, memory: int = MEMORY) -> None:
        self._memory, self._portion = memory, memory // _COUNTERS
        self._halvings = 0
        self._kept: Hashes = np.zeros(0, dtype=np.uint64)
        self._frequent: Hashes = np.zeros(0, dtype=np.uint64)
        self._times: Integers = np.zeros(0, dtype=np.int64)
        self._heads: Heads = np.zeros((0, HEAD_BYTES), dtype=np.uint8)
        self._waiting: list[tuple[Hashes, Heads]] = []
        self.lost = 0

    def add(self, hashes: Hashes, heads: Heads) -> None:
        """Sentences. hashes: (sentences,). heads: (sentences, HEAD_BYTES), the first bytes of each, filled with 0."""
        self._waiting.append((hashes, heads))
        if sum(len(hashes) for hashes, _ in self._waiting) >= self._portion:
            self._digest_waiting(portions_only=True)

    def settled(self) -> Repeats:
        """The same with all sentences counted; this one still waits for its portions to fill."""
        other = copy.copy(self)
        other._digest_waiting(portions_only=False)
        return other

    @property
    def distinct(self) -> int:
        """Different sentences, of those that are counted."""
        return len(self._kept) << self._halvings

    @property
    def error(self) -> float:
        """Standard error of `distinct`, as a share of it; 0 = it is exact."""
        return len(self._kept) ** -0.5 if self._halvings else 0.0

    def frequent(self, number: int) -> list[tuple[str, int]]:
        """Of the sentences that came again, those that came most often, or how they begin, and how often at least."""
        order = sorted(range(len(self._times)), key=lambda place: (-self._times[place], bytes(self._heads[place])))
        return [
            (quoted(self._heads[place]), int(self._times[place])) for place in order[:number] if self._times[place] > 1
        ]

    def state_dict(self) -> dict[str, Any]:
        """JSON values, 3 MB at most by the default memory."""
        hashes, heads = _together(self._waiting)
        arrays: dict[str, NDArray[Any]] = {
            "kept": self._kept,
            "frequent": self._frequent,
            "times": self._times,
            "heads": self._heads,
        }
        arrays |= {"waiting": hashes, "waiting_heads": heads}
        numbers = {"memory": self._memory, "halvings": self._halvings, "lost": self.lost}
        return numbers | {name: packed(value) for name, value in arrays.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self._memory, self._halvings, self.lost = state["memory"], state["halvings"], state["lost"]
        self._portion = self._memory // _COUNTERS
        self._kept, self._frequent = (unpacked(state[name], np.uint64) for name in ("kept", "frequent"))
        self._times = unpacked(state["times"], np.int64)
        self._heads = unpacked(state["heads"], np.uint8).reshape(-1, HEAD_BYTES)
        waiting = unpacked(state["waiting"], np.uint64)
        self._waiting = [(waiting, unpacked(state["waiting_heads"], np.uint8).reshape(-1, HEAD_BYTES))]

    # Arrays are replaced, never written into: `settled` shares them.

    def _digest_waiting(self, *, portions_only: bool) -> None:
        hashes, heads = _together(self._waiting)
        end = len(hashes) // self._portion * self._portion if portions_only else len(hashes)
        for start in range(0, end, self._portion):
            portion = slice(start, min(start + self._portion, end))
            found, first, times = np.unique(hashes[portion], return_index=True, return_counts=True)
            self._keep(found)
            self._count(found, times.astype(np.int64), heads[portion][first])
        self._waiting = [(hashes[end:].copy(), heads[end:].copy())]

    def _keep(self, found: Hashes) -> None:
        found = found[found <= self._limit()]
        places, is_known = _looked_up(found, self._kept)
        self._kept = np.insert(self._kept, places[~is_known], found[~is_known])
        while len(self._kept) > self._memory:
            self._halvings += 1
            self._kept = self._kept[self._kept <= self._limit()]

    def _limit(self) -> np.uint64:
        return np.uint64(((1 << 64) - 1) >> self._halvings)

    def _count(self, found: Hashes, times: Integers, heads: Heads) -> None:
        places, is_known = _looked_up(found, self._frequent)
        known = self._times.copy()
        known[places[is_known]] += times[is_known]
        names = np.concatenate([self._frequent, found[~is_known]])
        counted = np.concatenate([known, times[~is_known]])
        taken = 0
        if len(names) > self._portion:
            taken = int(np.partition(counted, -self._portion - 1)[-self._portion - 1])
            self.lost += taken
        stays = np.flatnonzero(counted > taken)
        stays = stays[np.argsort(names[stays])]
        self._frequent, self._times = names[stays], counted[stays] - taken
        self._heads = np.concatenate([self._heads, heads[~is_known]])[stays]


def quoted(head: Heads) -> str:
    """What `head` bytes of a sentence say, with an ellipsis where they are not all."""
    kept = bytes(head).rstrip(b"\0")
    text = kept[: HEAD_BYTES - 1].decode("utf-8", "ignore")
    return f"{text}…" if len(kept) == HEAD_BYTES else text


def packed(array: NDArray[Any]) -> str:
    """An array of numbers as a string for JSON: little-endian bytes, compressed, in base64."""
    numbers = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return base64.b64encode(zlib.compress(numbers.tobytes(), 1)).decode("ascii")


def unpacked(text: str, kind: type[np.generic]) -> NDArray[Any]:
    """The flat array that `packed` got."""
    data = zlib.decompress(base64.b64decode(text))
    return np.frombuffer(data, dtype=np.dtype(kind).newbyteorder("<")).astype(kind)


def _together(pieces: list[tuple[Hashes, Heads]]) -> tuple[Hashes, Heads]:
    empty = (np.zeros(0, dtype=np.uint64), np.zeros((0, HEAD_BYTES), dtype=np.uint8))
    hashes, heads = zip(*(pieces or [empty]), strict=True)
    return np.concatenate(hashes), np.concatenate(heads)


def _looked_up(hashes: Hashes, known: Hashes) -> tuple[Integers, NDArray[np.bool_]]:
    """Where each hash stands among the known ones, or would stand, and whether it is one. known: rising."""
    places = np.searchsorted(known, hashes)
    is_known = np.zeros(len(hashes), dtype=bool)
    inside = places < len(known)
    is_known[inside] = known[places[inside]] == hashes[inside]
    return places, is_known


def _steps(sizes: Integers) -> Integers:
    """The step of a histogram that each size falls on: itself below 1024, then its first 10 binary digits."""
    if not len(sizes) or sizes.max() < 2 * _STEPS:
        return sizes
    bits = np.frexp(sizes.astype(np.float64))[1].astype(np.int64)
    doublings = np.maximum(bits - _EXACT_BITS, 0)
    steps: Integers = doublings * _STEPS + (sizes >> doublings)
    return steps


def _size(step: int) -> int:
    """The smallest size on a step."""
    doublings = max(step // _STEPS - 1, 0)
    return (step - doublings * _STEPS) << doublings
