"""Where the tokens of each text lie among packed rows, and how they get back to where the caller has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


class Run(NamedTuple):
    """Neighbouring texts of equal length: a rectangle without padding."""

    start: int
    texts: int
    length: int

    @property
    def rows(self) -> slice:
        """Those of its tokens."""
        return slice(self.start, self.start + self.texts * self.length)


@dataclass(frozen=True)
class Places:
    """Texts in a row, sorted by length, each from its first to its last live token.

    A text may have tokens that are not live: holes in its mask, or all of them where it is not there at all (a choice
    that an example does not have). Those are computed like others, and seen by none.

    runs: all texts, in packed order. positions: (tokens,), int64, place of each token in its text.
    first, last: (texts,), int64, rows of each text's first and last live token, in the caller's order.
    seen: (tokens,), bool, which tokens are live; None = all.
    index: (tokens,), int64, place of each token among the caller's (texts * length); None = the caller packs.
    live: (texts, length), bool, the caller's mask; None = all are live.
    """

    runs: tuple[Run, ...]
    positions: Array
    first: Array
    last: Array
    seen: Array | None = None
    index: Array | None = None
    live: Array | None = None

    @classmethod
    def from_lengths(cls, lengths: Array) -> Places:
        """Texts that the caller has packed, in the caller's order. lengths: (texts,), each 1 or more."""
        starts = np.cumsum(lengths) - lengths
        positions = np.arange(lengths.sum()) - np.repeat(starts, lengths)
        return cls(_runs(lengths), positions, starts, starts + lengths - 1)

    @classmethod
    def from_rectangle(cls, texts: int, length: int, *, last: Array | None = None) -> Places:
        """Texts that fill their rows. last: (texts,), columns of the tokens that count as the last; None = the last."""
        starts = np.arange(texts) * length
        ends = starts + (length - 1 if last is None else last)
        return cls(
            (Run(0, texts, length),), np.tile(np.arange(length), texts), starts, ends, index=np.arange(texts * length)
        )

    @classmethod
    def from_mask(cls, live: Array) -> Places:
        """Padded texts. live: (texts, length), bool."""
        texts, length = live.shape
        present = live.any(1)
        first = live.argmax(1)  # of a text that is not there, the whole row stands
        last = length - 1 - live[:, ::-1].argmax(1)
        lengths = last - first + 1
        order = np.argsort(lengths, kind="stable")
        columns = np.arange(length)
        within = (columns >= first[:, None]) & (columns <= last[:, None])
        index = np.arange(texts * length).reshape(texts, length)[order][within[order]]
        starts = np.empty(texts, np.int64)
        starts[order] = np.cumsum(lengths[order]) - lengths[order]
        seen = live.reshape(-1)[index]
        return cls(
            runs=_runs(lengths[order]),
            positions=index % length - first[index // length],
            first=starts,
            last=starts + lengths - 1,
            seen=None if present.all() and seen.all() else seen,
            index=index,
            live=live,
        )

    @property
    def longest(self) -> int:
        """Tokens of the longest text."""
        return max(run.length for run in self.runs)

    def pack(self, values: Array) -> Array:
        """(texts, length) as the caller holds them -> (tokens,); packed ones pass."""
        return values if self.index is None else values.reshape(-1)[self.index]

    def restore(self, rows: Array, shape: tuple[int, ...], *, lowest: bool) -> Array:
        """(tokens, ...) -> (*shape, ...), zeros or the lowest finite value where no live token is.

        shape: of the caller's input_ids. Rows of a caller who packs pass.
        """
        if self.index is None:
            return rows
        filling = np.finfo(rows.dtype).min if lowest else 0
        restored = np.full((int(np.prod(shape)), *rows.shape[1:]), filling, rows.dtype)
        if self.seen is None:
            restored[self.index] = rows
        else:
            restored[self.index[self.seen]] = rows[self.seen]
        return restored.reshape(*shape, *rows.shape[1:])


def _runs(lengths: Array) -> tuple[Run, ...]:
    """lengths: (texts,), in packed order."""
    changes = np.flatnonzero(np.diff(lengths)) + 1
    runs, start = [], 0
    for group in np.split(lengths, changes):
        runs.append(Run(start, len(group), int(group[0])))
        start += int(group.sum())
    return tuple(runs)
