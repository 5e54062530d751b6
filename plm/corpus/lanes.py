"""Documents cut into lanes: runs of sentences that are worked on side by side, a step of all of them at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plm.data.draws import Numbers, below, draws, keys

Ints = NDArray[np.int64]

# Sentences of the longest lane: so many steps at most, and that seldom a text ends at the end of a lane.
LONGEST = 512

_FOUR_BYTES = 1 << 32

# Tells the random numbers of plans from those of masked words, which may have the same seed.
PLANS = 1


@dataclass(frozen=True)
class Lanes:
    """Sentences [first, end) of each lane, its document, and the key of its random numbers; (lanes,) all of them."""

    first: Ints
    end: Ints
    document: Ints
    key: Numbers

    def __len__(self) -> int:
        return len(self.first)

    def part(self, start: int, stop: int) -> Lanes:
        """Lanes start to stop - 1."""
        chosen = slice(start, stop)
        return Lanes(self.first[chosen], self.end[chosen], self.document[chosen], self.key[chosen])


def sentence_ends(sentences: NDArray[Any]) -> NDArray[Any]:
    """(sentences + 1,): tokens before each sentence, then all of them; in 4 bytes each if that will do, else in 8."""
    ends = np.zeros(len(sentences) + 1, dtype=np.int64)
    np.cumsum(sentences, out=ends[1:])
    return ends.astype(np.uint32) if ends[-1] < _FOUR_BYTES else ends


def tokens_before(ends: NDArray[Any], sentence: Ints) -> Ints:
    """Tokens of the corpus before each of some sentences."""
    return ends[sentence].astype(np.int64)


def first_reaching(ends: NDArray[Any], tokens: Ints) -> Ints:
    """For each number of tokens the first sentence that has so many or more before it."""
    reached: Ints = np.searchsorted(ends, np.minimum(tokens, ends[-1]).astype(ends.dtype))
    return reached


def last_within(ends: NDArray[Any], tokens: Ints) -> Ints:
    """For each number of tokens the last sentence, or end of all, that has no more before it."""
    beyond: Ints = np.searchsorted(ends, np.minimum(tokens, ends[-1]).astype(ends.dtype), side="right")
    return beyond - 1


def cut_into_lanes(documents: Ints, *, seed: int, epoch: int) -> Lanes:
    """All sentences of all documents, each once.

    documents: (documents + 1, 2), as a Corpus has them. A long document is cut at other places in every epoch.
    """
    firsts, counts = documents[:-1, 0], np.diff(documents[:, 0])
    shift = np.where(counts > LONGEST, below(keys(PLANS, seed, epoch, np.arange(len(counts))), LONGEST), 0)
    lanes = -(-(counts + shift) // LONGEST)
    document = np.repeat(np.arange(len(counts)), lanes)
    number = np.arange(len(document)) - np.repeat(np.cumsum(lanes) - lanes, lanes)
    start = (firsts - shift)[document] + number * LONGEST
    end = np.minimum(start + LONGEST, (firsts + counts)[document])
    return Lanes(
        np.maximum(start, firsts[document]), end, document, draws(keys(PLANS, seed, epoch, document), number + 1)
    )
