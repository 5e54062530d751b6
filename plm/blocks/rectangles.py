"""Packed sequences as few rectangles: neighbours of similar length, filled up to the longest of them.

Attention needs rectangles, and each costs a round of operators however small it is. So neighbours share one where the
padding costs less than another round.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

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
    _orders: dict[int, _Order] = field(default_factory=dict, compare=False, repr=False)

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
        heads, size = packed.shape[1:]
        order = self._order(heads)
        loaded = packed[self.rows].reshape(-1, size).index_select(0, order.sources)
        if padding is not None and order.padding is not None:
            loaded.index_fill_(0, order.padding, padding)
        return loaded.view(-1, self.length, size)

    def store(self, values: Tensor, packed: Tensor) -> None:
        """The way back, into the rows of `packed`, which is contiguous; what stands at padding is left out."""
        heads, size = packed.shape[1:]
        rows = packed[self.rows].view(-1, size)
        torch.index_select(values.reshape(-1, size).to(rows.dtype), 0, self._order(heads).places, out=rows)

    def _order(self, heads: int) -> _Order:
        """Where the parts of tokens that belong to single heads go; found once."""
        if heads not in self._orders:
            self._orders[heads] = _Order.of(self, heads)
        return self._orders[heads]

    @cached_property
    def is_padding(self) -> Tensor:
        """(sequences * length,), bool."""
        return torch.ones(len(self.lengths) * self.length, dtype=torch.bool).index_fill_(0, self.tokens, False)

    @property
    def tokens(self) -> Tensor:
        """(tokens,), int64, the place of each token."""
        return torch.arange(sum(self.lengths)) if self.places is None else self.places

    def padding(self, dtype: torch.dtype) -> Tensor:
        """(sequences, 1, length): 0 at tokens, -inf at padding."""
        bias = torch.zeros(len(self.lengths), 1, self.length, dtype=dtype)
        return bias.masked_fill_(self.is_padding.view(bias.shape), float("-inf"))


class _Order(NamedTuple):
    """The rows of (tokens * heads, size) and those of (sequences * heads * length, size), each by the others' numbers.

    sources: of each place, or of any other one at padding. places: of each row. padding: places without a row.
    """

    sources: Tensor
    places: Tensor
    padding: Tensor | None

    @classmethod
    def of(cls, rectangle: Rectangle, heads: int) -> _Order:
        """That of so many heads."""
        count, length = len(rectangle.lengths), rectangle.length
        tokens = rectangle.tokens
        numbers = torch.arange(count * length).view(count, length, 1)
        starts = numbers // length * length * heads + numbers % length
        places = (starts + torch.arange(heads) * length).flatten(0, 1)  # (sequences * length, heads)
        rows = torch.arange(len(tokens) * heads)
        own = places[tokens].flatten()
        sources = torch.zeros(places.numel(), dtype=torch.int64).index_copy_(0, own, rows)
        padding = None if rectangle.places is None else places[rectangle.is_padding].flatten()
        return cls(sources, own, padding)


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
