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

# Bytes of scores that are worked on at a time: about what a second-level cache holds beside keys and values; on GPUs,
# where every operator has to be launched, so much that there are few.
_BLOCK_BYTES = 3 << 19
_GPU_BLOCK_BYTES = 1 << 27

# Sequences of float32 whose blocks take less than this are worked on several at a time. Their rows then have to be
# copied together, which costs less than many small operators.
_SMALL_BYTES = 1 << 15

# Rows of a block times bytes of an element: 64 rows in float32, 128 in bfloat16; on GPUs four times as many.
_ROW_BYTES = 256
_GPU_ROW_BYTES = 1024


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
        return rows if _strided(rows.element_size()) else rows.contiguous()


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """Where queries, keys and distances lie.

    radius: the largest distance that is told apart. is_causal: True = keys ahead of their row are not seen.
    offset: position of the first query; key j stands at position j. rows: queries in a block.
    on_cpu: True = blocks are made for its caches.
    """

    batch: int
    heads: int
    queries: int
    keys: int
    radius: int
    is_causal: bool
    offset: int
    rows: int
    on_cpu: bool = True

    @classmethod
    def of(
        cls, query: Tensor, *, keys: int, radius: int, is_causal: bool, offset: int, block_rows: int | None
    ) -> Geometry:
        """For queries (batch, heads, queries, size). block_rows: at most so many in a block; None = a good number."""
        batch, heads, queries, _ = query.shape
        on_cpu = query.device.type == "cpu"
        most_rows = (_ROW_BYTES if on_cpu else _GPU_ROW_BYTES) // query.element_size()
        return cls(
            batch=batch,
            heads=heads,
            queries=queries,
            keys=keys,
            radius=radius,
            is_causal=is_causal,
            offset=offset,
            rows=_even(queries, block_rows or most_rows),
            on_cpu=on_cpu,
        )

    def parts(self, element_size: int) -> list[Part]:
        """Sequences and heads, cut so that one block of scores fits the cache. None is larger than the first."""
        slice_bytes = self.rows * self.keys * element_size
        most = _BLOCK_BYTES if self.on_cpu else _GPU_BLOCK_BYTES
        heads = _even(self.heads, most // slice_bytes)
        alone = self.on_cpu and _strided(element_size) and self.heads * slice_bytes >= _SMALL_BYTES
        batch = 1 if alone else _even(self.batch, most // (self.heads * slice_bytes))
        return [
            Part(some_batch, some_heads)
            for some_batch in _pieces(self.batch, batch)
            for some_heads in _pieces(self.heads, heads)
        ]

    def blocks(self) -> Iterator[slice]:
        """The rows of each block."""
        return _pieces(self.queries, self.rows)


def _strided(element_size: int) -> bool:
    """True when the matrix kernels read strided rows as they are; those for halves would copy them for every block."""
    return element_size >= 4


def _even(total: int, most: int) -> int:
    """Size of the pieces when `total` is cut into as few about equal pieces of at most `most` as possible."""
    pieces = -(-total // max(1, most))
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

        # Column c of the band stands for the distance `leftmost` + c.
        width, leftmost = count - 1 + self._stop - self._start, self._start - first - count + 1
        self._table = table[max(0, leftmost + len(table) // 2) :][:width]  # 0: queries far behind the last key
        self._band = memory[: self.slices * count * width].view(*self.shape, width)
        strides = (*self._band.stride()[:2], width - 1, 1)
        self._middle = self._band.as_strided(
            (*self.shape, self._stop - self._start), strides, self._band.storage_offset() + count - 1
        )
        self._ahead = self._band[..., 1 - leftmost if geometry.is_causal else width :]

    @staticmethod
    def extend(table: Tensor, geometry: Geometry) -> Tensor:
        """A table with a row for every distance between queries of a block and the keys around them.

        table: (2 * radius + 1, size). The result has distance 0 in the middle, too, and clipped distances have rows of
        their own.
        """
        left, right = (row.expand(geometry.rows, -1) for row in (table[:1], table[-1:]))
        return torch.cat((left, table, right))

    @staticmethod
    def band_size(geometry: Geometry) -> int:
        """The largest number of elements in one slice of a band."""
        return geometry.rows * (geometry.rows + min(geometry.keys, geometry.rows + 2 * geometry.radius))

    def scores(self, memory: Tensor) -> Tensor:
        """Flat memory, or the front of it, as (slices, rows, keys)."""
        count = self.shape[-1]
        return memory[: self.slices * count * self.keys].view(self.slices, count, self.keys)

    def unflatten(self, rows: Tensor) -> Tensor:
        """(slices, rows, n) -> (sequences, heads, rows, n), as a view."""
        return rows.view(*self.shape, rows.shape[-1])

    def spread(self, rows: Tensor, scores: Tensor, *, bias: Tensor | None = None, hide: bool = False) -> None:
        """Set each score to the product of its row with the table at the distance of its key.

        rows: (slices, rows, size); scores: (slices, rows, keys), overwritten.
        bias: broadcastable to (sequences, heads, rows, keys), added.
        hide: True = keys that causal rows do not see get -inf.
        """
        torch.mm(rows.reshape(-1, rows.shape[-1]), self._table.t(), out=self._band.flatten(0, 2))
        if hide:
            self._ahead.fill_(-math.inf)
        target = self.unflatten(scores)
        _assign(target[..., self._start : self._stop], self._middle, bias, self._start)
        if self._start > 0:
            _assign(target[..., : self._start], self._band[..., :1], bias, 0)
        if self._stop < self.keys:
            _assign(target[..., self._stop :], self._band[..., -1:], bias, self._stop)

    def mix(self, scores: Tensor) -> Tensor:
        """Sum over keys of scores times the table at their distance: (slices, rows, size).

        scores: (slices, rows, keys), zero for keys that causal rows do not see.
        """
        source = self.unflatten(scores)
        self._band.zero_()
        self._middle.copy_(source[..., self._start : self._stop])
        if self._start > 0:
            self._band[..., 0] += source[..., : self._start].sum(-1)
        if self._stop < self.keys:
            self._band[..., -1] += source[..., self._stop :].sum(-1)
        return torch.mm(self._band.flatten(0, 2), self._table).view(self.slices, self.shape[-1], -1)


def _assign(target: Tensor, source: Tensor, bias: Tensor | None, start: int) -> None:
    """target = source + bias, where the target lies `start` keys from the left."""
    if bias is None:
        target.copy_(source)
    else:
        torch.add(source, bias[..., start : start + target.shape[-1]], out=target)
