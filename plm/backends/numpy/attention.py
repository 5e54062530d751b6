"""Self-attention in rectangles of texts of equal length, a few query rows at a time.

The scores of a batch do not exist at once: a block of them is made, used and dropped while it is in the cache.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

# Scores at a time, numbers: a few megabytes.
_BLOCK = 1 << 20


def attend(
    query: Array, key: Array, value: Array, *, seen: Array | None, is_causal: bool, table: Array | None
) -> Array:
    """The context, (texts, heads, length, head size), of texts without padding.

    query, key, value: (texts, heads, length, head size).
    seen: (texts, length), bool, which keys may be seen; None = all. is_causal: True = besides, none to the right.
    table: distances of NEZHA's attention, (2 radius + 1, head size); None = dot products alone.
    A query that sees no key has a context of zeros.
    """
    texts, heads, length, size = query.shape
    context = np.empty_like(query)
    rows = min(length, max(1, _BLOCK // (heads * length)))
    group = max(1, _BLOCK // (heads * length * rows))
    scale = query.dtype.type(1 / math.sqrt(size))
    for first in range(0, texts, group):
        some = slice(first, first + group)
        for start in range(0, length, rows):
            stop = min(start + rows, length)
            keys = stop if is_causal else length  # no query of the block sees further
            context[some, :, start:stop] = _attend_rows(
                query[some, :, start:stop] * scale,
                key[some, :, :keys],
                value[some, :, :keys],
                hidden=_hidden(None if seen is None else seen[some, :keys], start, stop, keys, is_causal=is_causal),
                start=start,
                table=table,
            )
    return context


def _attend_rows(
    query: Array, key: Array, value: Array, *, hidden: Array | None, start: int, table: Array | None
) -> Array:
    """The context of some queries. query: scaled, the rows from `start`. hidden: True = must not be seen."""
    scores: Array = query @ key.swapaxes(-1, -2)
    rows, keys = scores.shape[-2:]
    if table is not None:
        table = _reached(table, max(start + rows, keys - start) - 1)
        scores += _by_key(query @ table.T, keys=keys, start=start)
    weights = _softmax(scores, hidden)
    context: Array = weights @ value
    if table is not None:
        context += _by_distance(weights, radius=len(table) // 2, start=start) @ table
    return context


def _reached(table: Array, distance: int) -> Array:
    """The rows of a table of distances without those that are longer than any that occurs."""
    longer = max(0, len(table) // 2 - distance)
    return table[longer : len(table) - longer]


def _softmax(scores: Array, hidden: Array | None) -> Array:
    """Over the last dimension, in place; rows of which all is hidden are zero."""
    if hidden is not None:
        np.copyto(scores, -np.inf, where=hidden)
    top = scores.max(-1, keepdims=True)
    top[np.isneginf(top)] = 0
    scores -= top
    np.exp(scores, out=scores)
    total = scores.sum(-1, keepdims=True)
    total[total == 0] = 1
    scores /= total
    return scores


def _hidden(seen: Array | None, start: int, stop: int, keys: int, *, is_causal: bool) -> Array | None:
    """Broadcastable to (texts, heads, stop - start, keys), bool, True = must not be seen; None = everything may."""
    hidden = None if seen is None else ~seen[:, None, None, :]
    if is_causal:
        later = np.arange(keys) > np.arange(start, stop)[:, None]
        hidden = later if hidden is None else hidden | later
    return hidden


def _by_key(by_distance: Array, *, keys: int, start: int) -> Array:
    """A number for each clipped distance -> one for each key: (..., rows, 2 radius + 1) -> (..., rows, keys).

    Row t, which stands at start + t, wants entry clip(j - start - t) for key j. All rows together meet rows + keys - 1
    distances: those are gathered once, and each row looks at them through a window that starts one further left.
    """
    rows, radius = by_distance.shape[-2], by_distance.shape[-1] // 2
    distances = np.arange(-(start + rows - 1), keys - start)
    spread = np.ascontiguousarray(by_distance[..., np.clip(distances, -radius, radius) + radius])
    return _skewed(spread, keys)


def _by_distance(weights: Array, *, radius: int, start: int) -> Array:
    """The other way: weights of keys, summed by clipped distance: (..., rows, keys) -> (..., rows, 2 radius + 1)."""
    rows, keys = weights.shape[-2:]
    lowest = -(start + rows - 1)
    spread = np.zeros((*weights.shape[:-1], rows + keys - 1), weights.dtype)
    _skewed(spread, keys)[...] = weights
    summed = np.zeros((*weights.shape[:-1], 2 * radius + 1), weights.dtype)
    left, right = max(0, -radius - lowest), min(rows + keys - 1, radius + 1 - lowest)
    summed[..., lowest + left + radius : lowest + right + radius] = spread[..., left:right]
    summed[..., 0] += spread[..., :left].sum(-1)
    summed[..., -1] += spread[..., right:].sum(-1)
    return summed


def _skewed(spread: Array, keys: int) -> Array:
    """A view, (..., rows, keys), of a contiguous (..., rows, rows + keys - 1): row t begins at column rows - 1 - t."""
    rows, item = spread.shape[-2], spread.itemsize
    return np.lib.stride_tricks.as_strided(
        spread[..., rows - 1 :],
        shape=(*spread.shape[:-1], keys),
        strides=(*spread.strides[:-2], spread.strides[-2] - item, item),
    )
