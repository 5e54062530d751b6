"""Two shapes of relative attention, scores by key and bands by distance, and the way between them.

For a block of query rows a *band* has a column for each distance that occurs between them and the keys around them.
It holds the same numbers as the scores, along other diagonals: read with a row stride that is one element short, the
band is the middle of the scores. Left and right of the middle all distances are clipped, so there every row of the
scores is constant. So numbers for each distance get into the scores by one copy (`Block.spread`), sums over keys at
equal distance come out of them by one copy and two row sums (`Block.mix`), and the rest is matrix products. Nothing
here is larger than a block. Source of the diagonal reading: Huang et al. 2018 (Music Transformer).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

# Bytes of scores that are worked on at a time: about what a second-level cache holds beside keys and values.
_BLOCK_BYTES = 3 << 19


class Part(NamedTuple):
    """Some heads of some sequences: what one batched product works on. Its slices are sequences times heads."""

    batch: slice
    heads: slice

    @property
    def shape(self) -> tuple[int, int]:
        """Sequences and heads in it."""
        return self.batch.stop - self.batch.start, self.heads.stop - self.heads.start

    def of(self, tensor: Tensor) -> Tensor:
        """The part of a tensor (batch or 1, heads or 1, ...), as a view."""
        batch = self.batch if tensor.shape[0] > 1 else slice(None)
        return tensor[batch, self.heads if tensor.shape[1] > 1 else slice(None)]

    def load(self, tensor: Tensor) -> Tensor:
        """The part of (batch, heads, rows, size) as (slices, rows, size)."""
        rows = self.of(tensor).flatten(0, 1)
        # The kernels for float32 read strided rows as they are; those for halves would copy them for every block.
        return rows if rows.element_size() >= 4 else rows.contiguous()


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """Where queries, keys and distances lie.

    radius: the largest distance that is told apart. is_causal: True = keys ahead of their row are not seen.
    offset: position of the first query; key j stands at position j.
    """

    batch: int
    heads: int
    queries: int
    keys: int
    radius: int
    is_causal: bool
    offset: int
    block_rows: int

    @property
    def rows(self) -> int:
        """Query rows of a block."""
        return _even(self.queries, self.block_rows)

    def parts(self, element_size: int) -> list[Part]:
        """Sequences and heads, cut so that one block of scores fits the cache. None is larger than the first."""
        slices = max(1, _BLOCK_BYTES // (self.rows * self.keys * element_size))
        heads, batch = _even(self.heads, slices), _even(self.batch, slices // self.heads)
        return [
            Part(some_batch, some_heads)
            for some_batch in _pieces(self.batch, batch)
            for some_heads in _pieces(self.heads, heads)
        ]

    def blocks(self) -> Iterator[slice]:
        """The rows of each block."""
        return _pieces(self.queries, self.rows)


def _even(total: int, most: int) -> int:
    """Size of the pieces when `total` is cut into as few about equal pieces of at most `most` as possible."""
    pieces = -(-total // max(1, min(most, total)))
    return -(-total // pieces)


def _pieces(total: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, total)) for start in range(0, total, size))


class Block:
    """One block of query rows, and its band.

    rows: which queries. keys: how many they see: all, or those up to the last row if causal.
    shape: (sequences, heads, rows); slices: sequences times heads.
    """

    def __init__(
        self, geometry: Geometry, *, rows: slice, shape: tuple[int, int], table: Tensor, memory: Tensor
    ) -> None:
        count, radius, first = rows.stop - rows.start, geometry.radius, geometry.offset + rows.start
        self.rows, self.shape, self.slices = rows, (*shape, count), math.prod(shape)
        self.keys = min(geometry.keys, first + count) if geometry.is_causal else geometry.keys
        self.positions = slice(first, first + count)
        # The middle leaves out the keys that are out of reach of every row, on its left and on its right.
        self._start = min(max(0, first - radius), self.keys - 1)
        self._stop = min(first + count + radius, self.keys)

        width = count - 1 + self._stop - self._start
        distances = torch.arange(width, device=table.device) + (self._start - first - count + 1)
        self._table = table[distances.clamp(-radius, radius) + radius]
        self._band = memory[: self.slices * count * width].view(*self.shape, width)
        strides = (*self._band.stride()[:2], width - 1, 1)
        self._middle = self._band.as_strided((*self.shape, self._stop - self._start), strides, count - 1)
        self._ahead = self._band[..., first + count - self._start if geometry.is_causal else width :]
        if geometry.is_causal:
            self._table[distances > 0] = 0.0

    @staticmethod
    def memory(geometry: Geometry) -> int:
        """The largest number of elements in one slice of a band."""
        return geometry.rows * (geometry.rows + min(geometry.keys, geometry.rows + 2 * geometry.radius))

    def scores(self, memory: Tensor) -> Tensor:
        """Flat memory, or the front of it, as (slices, rows, keys)."""
        count = self.shape[-1]
        return memory[: self.slices * count * self.keys].view(self.slices, count, self.keys)

    def unflatten(self, rows: Tensor) -> Tensor:
        """(slices, rows, n) -> (sequences, heads, rows, n), as a view."""
        return rows.view(*self.shape, rows.shape[-1])

    def spread(self, rows: Tensor, scores: Tensor, *, bias: Tensor | None = None, ahead: float = 0.0) -> None:
        """Set each score to the product of its row with the table at the distance of its key.

        rows: (slices, rows, size); scores: (slices, rows, keys), overwritten.
        bias: broadcastable to (sequences, heads, rows, keys), added. ahead: for keys that causal rows do not see.
        """
        torch.mm(rows.reshape(-1, rows.shape[-1]), self._table.t(), out=self._band.flatten(0, 2))
        if ahead:
            self._ahead.fill_(ahead)
        target, (start, stop) = self.unflatten(scores), (self._start, self._stop)
        for columns, source in (
            (slice(0, start), self._band[..., :1]),
            (slice(start, stop), self._middle),
            (slice(stop, self.keys), self._band[..., -1:]),
        ):
            if bias is None:
                target[..., columns].copy_(source)
            else:
                torch.add(source, bias[..., columns], out=target[..., columns])

    def mix(self, scores: Tensor) -> Tensor:
        """Sum over keys of scores times the table at their distance: (slices, rows, size).

        scores: (slices, rows, keys), zero for keys that causal rows do not see.
        """
        source = self.unflatten(scores)
        self._band.zero_()
        self._middle.copy_(source[..., self._start : self._stop])
        self._band[..., 0] += source[..., : self._start].sum(-1)
        self._band[..., -1] += source[..., self._stop :].sum(-1)
        return torch.mm(self._band.flatten(0, 2), self._table).view(self.slices, self.shape[-1], -1)
