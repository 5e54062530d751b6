"""Packed sequences as few rectangles: neighbours of similar length, filled up to the longest of them.

Attention needs rectangles, and each costs a round of operators however small it is. So neighbours share one where the
padding costs less than another round.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

# What one rectangle costs on top, in pairs of tokens: a round of operators, forward and backward, takes as long as
# scores of about so many pairs in 12 heads.
_PAIRS_A_RECTANGLE = 4000

# Pairs of tokens in one rectangle, if it has more than one sequence: what the caches hold scores of.
_MOST_PAIRS = 1 << 16


@dataclass(frozen=True)
class Rectangle:
    """Neighbouring packed sequences.

    start: row of the first token. lengths: of the sequences; length: of the longest.
    places: (tokens,), int64, the place of each token in the rectangle, flattened; None = there is no padding.
    """

    start: int
    lengths: tuple[int, ...]
    length: int
    places: Tensor | None

    @classmethod
    def of(cls, start: int, lengths: Sequence[int]) -> Rectangle:
        """Of these sequences, the first token of which is row `start`."""
        longest = max(lengths)
        places = None
        if min(lengths) < longest:
            places = torch.cat([torch.arange(length) + longest * row for row, length in enumerate(lengths)])
        return cls(start, tuple(lengths), longest, places)

    @property
    def rows(self) -> slice:
        """Its tokens among all packed ones."""
        return slice(self.start, self.start + sum(self.lengths))

    def load(self, packed: Tensor, *, padding: float | None = None) -> Tensor:
        """(tokens, heads, size) of all sequences -> (sequences * heads, length, size), a new tensor.

        padding: what stands at padding; None = any finite numbers, which costs less.
        """
        rows = packed[self.rows]
        if self.places is not None:
            rows = rows.index_select(0, self.sources)
            if padding is not None:
                rows[self.is_padding] = padding
        split = rows.view(len(self.lengths), self.length, *rows.shape[1:]).transpose(1, 2)
        return split.clone(memory_format=torch.contiguous_format).flatten(0, 1)

    def store(self, values: Tensor, packed: Tensor) -> None:
        """The way back, into the rows of `packed`; what stands at padding is left out."""
        split = values.view(len(self.lengths), -1, self.length, values.shape[-1]).transpose(1, 2)
        rows = packed[self.rows]
        if self.places is None:
            rows.view(split.shape).copy_(split)
        else:
            torch.index_select(split.to(rows.dtype).flatten(0, 1), 0, self.places, out=rows)

    @cached_property
    def is_padding(self) -> Tensor:
        """(sequences * length,), bool."""
        return torch.ones(len(self.lengths) * self.length, dtype=torch.bool).index_fill_(0, self._known_places, False)

    @cached_property
    def sources(self) -> Tensor:
        """(sequences * length,), int64: the token at each place, or any at padding."""
        tokens = torch.arange(len(self._known_places))
        return torch.zeros(len(self.lengths) * self.length, dtype=torch.int64).index_copy_(
            0, self._known_places, tokens
        )

    def padding(self, dtype: torch.dtype) -> Tensor:
        """(sequences, 1, length): 0 at tokens, -inf at padding."""
        bias = torch.zeros(len(self.lengths), 1, self.length, dtype=dtype)
        return bias.masked_fill_(self.is_padding.view(bias.shape), float("-inf"))

    @property
    def _known_places(self) -> Tensor:
        assert self.places is not None, "there is padding"
        return self.places


def rectangles(lengths: Sequence[int]) -> tuple[Rectangle, ...]:
    """Packed sequences in rectangles so that rectangles and padding together cost least. lengths: in packed order."""
    starts = [0, *itertools.accumulate(lengths)]
    return tuple(
        Rectangle.of(starts[first], lengths[first:stop])
        for wide_first, wide_stop in _cheapest(lengths)
        for first, stop in _cut(wide_first, wide_stop, longest=max(lengths[wide_first:wide_stop]))
    )


def _cut(first: int, stop: int, *, longest: int) -> Iterator[tuple[int, int]]:
    """Pieces of at most _MOST_PAIRS."""
    size = max(1, _MOST_PAIRS // longest**2)
    return ((start, min(start + size, stop)) for start in range(first, stop, size))


def _cheapest(lengths: Sequence[int]) -> list[tuple[int, int]]:
    """First and last-plus-one sequence of each rectangle. Runs of equal length are never split.

    The best way to cut the first n runs is the best way to cut some fewer, and one rectangle of the rest.
    """
    ends = [n for n in range(1, len(lengths) + 1) if n == len(lengths) or lengths[n] != lengths[n - 1]]
    bounds = [0, *ends]
    costs, cut_at = [0], [0]
    for stop in range(1, len(bounds)):
        longest, best, choice = 0, -1, 0
        for first in range(stop - 1, -1, -1):
            longest = max(longest, lengths[bounds[first]])
            own = _PAIRS_A_RECTANGLE + (bounds[stop] - bounds[first]) * longest * longest
            if best < 0 or costs[first] + own < best:
                best, choice = costs[first] + own, first
            if own > best:  # and wider ones cost more
                break
        costs.append(best)
        cut_at.append(choice)
    cuts, stop = [], len(bounds) - 1
    while stop:
        cuts.append((bounds[cut_at[stop]], bounds[stop]))
        stop = cut_at[stop]
    return cuts[::-1]
