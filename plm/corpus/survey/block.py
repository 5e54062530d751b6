"""What a survey wants to know of a block of text, gathered in the process that tokenizes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plm.corpus.survey.counts import Hashes, Heads, Histogram, Integers
from plm.corpus.survey.text import Lines

SAMPLED = 64
"""Sentences with unknown tokens that are looked at, enough to name the usual suspects."""

LONGEST = 3
"""Longest sentences that are remembered."""

_SAMPLED_CHARACTERS = 400


@dataclass(frozen=True, kw_only=True, eq=False)
class BlockFacts:
    """The facts of a block: some 60 bytes for each sentence, and they can be pickled.

    pieces: (pieces, 2), sentences and tokens up to each end of a document, and after the last one.
    lengths: tokens of the sentences. byte_counts: (256,), of the text in UTF-8. marks: leftovers of markup by name.
    small_starts: sentences that begin with a letter from a to z. unknown: unknown tokens.
    unknown_samples: hash -> text of sentences with unknown tokens. hashes: (sentences,), of their tokens.
    heads: (sentences, HEAD_BYTES), how they begin. longest: (tokens, place in the block) of the longest ones.
    """

    pieces: Integers
    lengths: Histogram
    byte_counts: Integers
    marks: Mapping[str, int]
    small_starts: int
    unknown: int
    unknown_samples: Mapping[int, str]
    hashes: Hashes
    heads: Heads
    longest: Sequence[tuple[int, int]]

    @classmethod
    def of(
        cls,
        sentences: Sequence[str],
        *,
        ends: Sequence[int] | NDArray[Any],
        lengths: NDArray[Any],
        ids: NDArray[Any],
        unknown_id: int | None,
    ) -> BlockFacts:
        """The facts of some sentences that follow each other.

        ends: how many of the sentences are there when a document ends, never falling, from 0 to len(sentences); what
            follows the last one belongs to a document that goes on. An end where nothing has begun counts for nothing.
        lengths: (sentences,), tokens of each. ids: tokens of all of them. unknown_id: None = nothing is unknown.
        """
        lengths = lengths.astype(np.int64)
        assert len(lengths) == len(sentences), "lengths are of these sentences"
        assert lengths.sum() == len(ids), "ids are of these sentences"
        lines, hashes = Lines.of(sentences), sentence_hashes(ids, lengths)
        byte_counts = lines.byte_counts()
        unknown = np.flatnonzero(ids == unknown_id) if unknown_id is not None else np.zeros(0, dtype=np.int64)
        return cls(
            pieces=_pieces(lengths, ends),
            lengths=Histogram.of(lengths),
            byte_counts=byte_counts,
            marks=lines.marks(byte_counts),
            small_starts=lines.small_starts(),
            unknown=len(unknown),
            unknown_samples=_samples(sentences, hashes, _sentences_of(unknown, lengths)),
            hashes=hashes,
            heads=lines.heads(),
            longest=_longest(lengths),
        )


def sentence_hashes(ids: NDArray[Any], lengths: Integers) -> Hashes:
    """(sentences,), 64 bits for each, the same on every machine and in every process.

    A sum over the tokens of random functions of id and place, so two sentences that differ in one token never agree.
    ids: tokens of all sentences, at least 0. lengths: (sentences,), tokens of each, 0 allowed.
    """
    ends = np.cumsum(lengths)
    places = np.arange(len(ids), dtype=np.uint64) - np.repeat((ends - lengths).astype(np.uint64), lengths)
    tokens = _scrambled((places << np.uint64(32)) | ids.astype(np.uint64))
    sums = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(tokens, dtype=np.uint64)])
    return _scrambled(sums[ends] - sums[ends - lengths])


def _scrambled(numbers: Hashes) -> Hashes:
    """A one-to-one function that looks random. Source: splitmix64 (Steele, Lea and Flood 2014)."""
    numbers = numbers + np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        numbers ^= numbers >> np.uint64(shift)
        numbers *= np.uint64(factor)
    numbers ^= numbers >> np.uint64(31)
    return numbers


def _pieces(lengths: Integers, ends: Sequence[int] | NDArray[Any]) -> Integers:
    places = np.concatenate([[0], np.cumsum(lengths)])
    edges = np.concatenate([[0], np.asarray(ends, dtype=np.int64), [len(lengths)]])
    return np.stack([np.diff(edges), np.diff(places[edges])], axis=1).astype(np.int64)


def _sentences_of(tokens: Integers, lengths: Integers) -> Integers:
    """The places of the sentences that have some of the tokens, which are given by place."""
    return np.unique(np.searchsorted(np.cumsum(lengths), tokens, side="right"))


def _samples(sentences: Sequence[str], hashes: Hashes, places: Integers) -> dict[int, str]:
    """Those with the smallest hashes: a random choice that does not depend on where the block begins."""
    found, first = np.unique(hashes[places], return_index=True)
    chosen = zip(found[:SAMPLED].tolist(), places[first[:SAMPLED]].tolist(), strict=True)
    return {hashed: sentences[place][:_SAMPLED_CHARACTERS] for hashed, place in chosen}


def _longest(lengths: Integers) -> list[tuple[int, int]]:
    """Of equally long ones, the first ones."""
    left, longest = lengths.copy(), []
    for _ in range(min(LONGEST, len(lengths))):
        place = int(left.argmax())
        longest.append((int(left[place]), place))
        left[place] = -1
    return longest
