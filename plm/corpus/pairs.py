"""BERT's pairs of texts, planned from the lengths of sentences alone: where A and B begin, and how long they are.

The statistics are those of google-research/bert, create_pretraining_data.py: sentences are gathered up to a target
length, cut in two between sentences, and half of the second parts are replaced by the beginning somewhere in another
document, after which the sentences that were not used come again. Other than there, a target is drawn for every pair,
not for every document, and B never comes from the document of A. Everything is a function of (seed, epoch, document).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from plm.corpus.lanes import Lanes, cut_into_lanes, first_reaching, tokens_before
from plm.data.draws import below, draws, happens, swapped
from plm.errors import ConfigError, DataError

Ints = NDArray[np.int64]
Numbers = NDArray[Any]
NextSentence = Literal["random", "order"]

# Lanes worked on at a time: arrays of this length stay in the cache.
_LANES = 4096


@dataclass(frozen=True)
class Pairs:
    """The pairs of an epoch, (pairs,) each: the first token of A and of B in the corpus, and how many there are.

    label: 0 = B follows A; 1 = B is from another document ("random"), or the text that comes before A ("order").
    """

    a_start: Numbers
    a_length: Numbers
    b_start: Numbers
    b_length: Numbers
    label: Numbers

    def __len__(self) -> int:
        return len(self.label)

    def columns(self) -> list[Numbers]:
        """The arrays, in the order of the fields."""
        return [self.a_start, self.a_length, self.b_start, self.b_length, self.label]

    def part(self, rows: Ints) -> Pairs:
        """Some of them."""
        return Pairs(*(column[rows] for column in self.columns()))

    def compact(self, places: np.dtype[Any], lengths: np.dtype[Any]) -> Pairs:
        """The same in types that take less memory, which must be wide enough."""
        types = (places, lengths, places, lengths, np.dtype(bool))
        return Pairs(*(column.astype(kind) for column, kind in zip(self.columns(), types, strict=True)))


@dataclass(frozen=True, kw_only=True)
class PairPlan:
    """How pairs are made.

    max_tokens: of A and B together, special ones not counted. short_probability: share of the pairs that aim at a
    length drawn from 2 to max_tokens, so that the model sees short ones too.
    next_sentence: "random" = half of the B, and all after a single sentence, are from another document; "order" = B
    always follows A, and half of the pairs are swapped (Lan et al. 2020, ALBERT, section 3.1); a single sentence is cut
    in two between tokens, and left out if it has one token only.
    """

    max_tokens: int
    next_sentence: NextSentence = "random"
    short_probability: float = 0.1
    seed: int = 42

    def __post_init__(self) -> None:
        if self.max_tokens < 2:
            raise ConfigError(f"max_tokens: expected 2 or more, one for each text of a pair, got {self.max_tokens}")
        if not 0.0 <= self.short_probability <= 1.0:
            raise ConfigError(f"short_probability: expected a share from 0 to 1, got {self.short_probability}")
        if self.next_sentence not in ("random", "order"):
            raise ConfigError(f"next_sentence: expected random or order, got {self.next_sentence!r}")
        if not 0 <= self.seed < 2**64:
            raise ConfigError(f"seed: expected a number from 0 to 2**64 - 1, got {self.seed}")

    def pairs(self, ends: Numbers, documents: Ints, *, epoch: int) -> Pairs:
        """All pairs of an epoch.

        ends: (sentences + 1,), tokens before each sentence, and all. documents: (documents + 1, 2), as a Corpus has
        them. Raises DataError as `check` does.
        """
        self.check(documents)
        lanes = cut_into_lanes(documents, seed=self.seed, epoch=epoch)
        made = []
        for start in range(0, len(lanes), _LANES):
            pairs = self._of_lanes(lanes.part(start, start + _LANES), ends, documents[:, 0])
            made.append(pairs.compact(ends.dtype, np.min_scalar_type(self.max_tokens)))
        return _joined(made)

    def check(self, documents: Ints) -> None:
        """Raise DataError where B cannot be from another document, as there is none."""
        if self.next_sentence == "random" and len(documents) < 3:
            raise DataError(
                'next_sentence "random" takes the second text from another document, and there is only one; take '
                '"order", or mark where documents end (a blank line)'
            )

    def _of_lanes(self, lanes: Lanes, ends: Numbers, documents: Ints) -> Pairs:
        """A pair of each lane, then the next of each that goes on, until all are at their end; then all are cut."""
        made, cuts, step = [], [], 0
        while len(lanes):
            aim, split, place, cut = draws(lanes.key, 4 * step + np.arange(4)[:, None])
            begin, target = tokens_before(ends, lanes.first), self._target(aim)
            last = np.minimum(first_reaching(ends, begin + target), lanes.end)
            middle = lanes.first + 1 + below(split, np.maximum(1, last - lanes.first - 1))
            b_start, label = tokens_before(ends, middle), happens(swapped(split), 0.5)
            pairs = Pairs(begin, b_start - begin, b_start, tokens_before(ends, last) - b_start, label)
            if self.next_sentence == "random":
                label |= pairs.b_length == 0
                _take_elsewhere(pairs, place, target, lanes.document, ends, documents)
                then = np.where(label, middle, last)
            else:
                pairs, then = _in_any_order(_single_ones_split(pairs, place)), last
            made.append(pairs)
            cuts.append(cut)
            goes_on, step = np.flatnonzero(then < lanes.end), step + 1
            lanes = Lanes(then[goes_on], lanes.end[goes_on], lanes.document[goes_on], lanes.key[goes_on])
        return _cut(_joined(made), self.max_tokens, np.concatenate(cuts))

    def _target(self, numbers: Numbers) -> Ints:
        short = 2 + below(swapped(numbers), self.max_tokens - 1)
        return np.where(happens(numbers, self.short_probability), short, self.max_tokens)


def _joined(parts: list[Pairs]) -> Pairs:
    return Pairs(*(np.concatenate(columns) for columns in zip(*(part.columns() for part in parts), strict=True)))


def _take_elsewhere(pairs: Pairs, place: Numbers, target: Ints, document: Ints, ends: Numbers, documents: Ints) -> None:
    """Where the label says so, B becomes the beginning at a random sentence of another document, up to the target."""
    rows = np.flatnonzero(pairs.label)
    place, wanted = place[rows], np.maximum(1, (target - pairs.a_length)[rows])
    other = below(place, len(documents) - 2)
    other += other >= document[rows]
    first, last = documents[other], documents[other + 1]
    first = first + below(swapped(place), last - first)
    start = tokens_before(ends, first)
    last = np.minimum(first_reaching(ends, start + wanted), last)
    pairs.b_start[rows], pairs.b_length[rows] = start, tokens_before(ends, last) - start


def _single_ones_split(pairs: Pairs, place: Numbers) -> Pairs:
    """A single sentence, which has no B, is cut between two of its tokens; if it has but one, A is left empty."""
    rows = np.flatnonzero(pairs.b_length == 0)
    size = 1 + below(place[rows], np.maximum(1, pairs.a_length[rows] - 1))
    pairs.a_length[rows] -= size
    pairs.b_start[rows] -= size
    pairs.b_length[rows] = size
    return pairs


def _in_any_order(pairs: Pairs) -> Pairs:
    """A and B exchanged where the label says so."""
    a_start, a_length, b_start, b_length, is_turned = pairs.columns()
    return Pairs(
        np.where(is_turned, b_start, a_start),
        np.where(is_turned, b_length, a_length),
        np.where(is_turned, a_start, b_start),
        np.where(is_turned, a_length, b_length),
        is_turned,
    )


def _cut(pairs: Pairs, most: int, numbers: Numbers) -> Pairs:
    """Pairs of at most `most` tokens: those too many go from the longer text, at its beginning or end by a coin.

    Pairs of which one text is empty are left out.
    """
    long = np.flatnonzero(pairs.a_length + pairs.b_length > most)
    a, b = pairs.a_length[long], pairs.b_length[long]
    # Where both would be cut they end up as equal as they can be; of two equal ones B is cut first.
    left_a = np.minimum(a, np.maximum(most - b, -(-most // 2)))
    left_b = np.minimum(b, np.maximum(most - a, most // 2))
    heads = _heads(draws(numbers[long], np.arange(2)[:, None]).reshape(-1), np.concatenate([a - left_a, b - left_b]))
    pairs.a_start[long] += heads[: len(long)]
    pairs.b_start[long] += heads[len(long) :]
    pairs.a_length[long], pairs.b_length[long] = left_a, left_b
    return pairs.part(np.flatnonzero(np.minimum(pairs.a_length, pairs.b_length)))


def _heads(key: Numbers, throws: Ints) -> Ints:
    """How many of so many throws of a coin are heads."""
    heads = np.zeros_like(throws)
    rows, number = np.flatnonzero(throws), 0
    while len(rows):
        unused = np.maximum(0, 64 * (number + 1) - throws[rows]).astype(np.uint64)
        heads[rows] += _ones(draws(key[rows], number) >> unused)
        number += 1
        rows = rows[throws[rows] > 64 * number]
    return heads


def _ones(numbers: Numbers) -> Ints:
    """Bits that are 1, counted in ever wider fields (numpy has a function for it from version 2 on)."""
    for width, mask in ((1, 0x5555555555555555), (2, 0x3333333333333333), (4, 0x0F0F0F0F0F0F0F0F)):
        numbers = (numbers & np.uint64(mask)) + ((numbers >> np.uint64(width)) & np.uint64(mask))
    return ((numbers * np.uint64(0x0101010101010101)) >> np.uint64(56)).view(np.int64)
