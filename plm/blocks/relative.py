"""NEZHA's relative attention: a fixed table of clipped distances, added to keys and to values.

    score[i, j] = (q_i . k_j + q_i . R[i, j]) / sqrt(d)
    context[i]  = sum_j p[i, j] (v_j + R[i, j])              R[i, j] = table[clip(j - i, -P, P) + P]

`relative_attention_reference` says this with gather and scatter. `relative_attention` computes the same in blocks of
query rows, by matrix products and copies only, and keeps no tensor of the size of the scores (see `relative_blocks`).

Source: Wei et al. 2019 (NEZHA) and its code, which the released weights follow where the paper differs: the sinusoid
is that of the clipped distance plus P.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from plm.blocks.distance_band import Geometry
from plm.blocks.eager import is_transformed
from plm.blocks.relative_blocks import attend_in_blocks
from plm.errors import ShapeError


def relative_table(max_relative_position: int, head_size: int) -> Tensor:
    """Sinusoids of the clipped distances -P .. P, one row each: (2 P + 1, head_size), float32.

    Row p holds sin(p / 10000^(2k / head_size)) in column 2k and the cosine in column 2k + 1. With an odd head size
    the last column is zero.
    """
    rows = torch.arange(2 * max_relative_position + 1, dtype=torch.float64)
    pairs = head_size // 2
    frequencies = 10000.0 ** (torch.arange(pairs, dtype=torch.float64) * (-2.0 / head_size))
    angles = rows[:, None] * frequencies
    table = torch.zeros(len(rows), head_size, dtype=torch.float64)
    table[:, 0 : 2 * pairs : 2] = angles.sin()
    table[:, 1 : 2 * pairs : 2] = angles.cos()
    return table.float()


def relative_attention_reference(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    table: Tensor,
    *,
    allowed: Tensor | None = None,
    is_causal: bool = False,
    query_offset: int = 0,
    dropout: float = 0.0,
) -> tuple[Tensor, Tensor, Tensor]:
    """`relative_attention` step by step: (context, scores, probabilities).

    scores: (batch, heads, query, key), scaled, before the mask; probabilities: the same shape, before dropout.
    """
    codes = _distance_codes(query, key, table, query_offset)
    scores = relative_scores(query, key, table, query_offset=query_offset)
    table = table.to(query.dtype)
    visible = torch.ones(codes.shape[-2:], dtype=torch.bool, device=query.device)
    if is_causal:
        visible = visible.tril(query_offset)
    if allowed is not None:
        visible = visible & allowed
    masked = scores.masked_fill(~visible, torch.finfo(scores.dtype).min)
    probabilities = masked.softmax(-1).masked_fill(~visible, 0.0)
    weights = F.dropout(probabilities, dropout)
    summed = weights.new_zeros(*weights.shape[:-1], len(table)).scatter_add(-1, codes, weights)
    return weights @ value + summed @ table, scores, probabilities


def relative_scores(query: Tensor, key: Tensor, table: Tensor, *, query_offset: int = 0) -> Tensor:
    """The scores alone, (..., query, key), scaled, before the mask; query, key: (..., length, head size)."""
    codes = _distance_codes(query, key, table, query_offset)
    by_distance = query @ table.to(query.dtype).transpose(0, 1)
    by_key = by_distance.gather(-1, codes)
    return (query @ key.transpose(-1, -2) + by_key) / math.sqrt(query.shape[-1])


def _distance_codes(query: Tensor, key: Tensor, table: Tensor, query_offset: int) -> Tensor:
    """Rows of the table that stand for the distances: (..., query, key), int64, expanded over what leads the query."""
    radius = len(table) // 2
    rows = torch.arange(query_offset, query_offset + query.shape[-2], device=query.device)
    columns = torch.arange(key.shape[-2], device=query.device)
    codes = (columns - rows[:, None]).clamp(-radius, radius) + radius
    return codes.expand(*query.shape[:-1], -1)


def relative_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    table: Tensor,
    *,
    allowed: Tensor | None = None,
    is_causal: bool = False,
    query_offset: int = 0,
    dropout: float = 0.0,
    block_rows: int | None = None,
) -> Tensor:
    """Attention with clipped distances in keys and values: (batch, heads, query, head size).

    query: (batch, heads, query, head size); key, value: (batch, heads, key, head size); all of one floating dtype.
    table: (2 P + 1, head size), see `relative_table`; used in the dtype of the query.
    allowed: bool, broadcastable to (batch, heads, query, key), True = may attend; None = everything may.
    is_causal: True = besides, query i sees only keys up to position query_offset + i.
    query_offset: position of the first query; key j stands at position j, so with a cache it is the cached length.
    dropout: in [0, 1), share of the probabilities set to zero; the bits follow from torch's default generator.
    block_rows: queries worked on at a time; changes time and memory only. None = what was
        measured to be fast.
    Rows with no key to attend to are zero. Raises ShapeError where shapes do not fit together.
    """
    _check(query, key, value, table, allowed=allowed, dropout=dropout)
    if is_transformed() or table.requires_grad or 0 in (query.numel(), key.numel()):
        context, _, _ = relative_attention_reference(
            query,
            key,
            value,
            table,
            allowed=allowed,
            is_causal=is_causal,
            query_offset=query_offset,
            dropout=dropout,
        )
        return context
    if torch.is_autocast_enabled(query.device.type):
        dtype = torch.get_autocast_dtype(query.device.type)
        query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
    # Distances that do not occur need no row: short sequences have smaller products.
    queries, keys, radius = query.shape[2], key.shape[2], len(table) // 2
    reach = max(0, min(radius, max(query_offset + queries, keys - query_offset) - 1))
    geometry = Geometry.of(
        query, keys=keys, radius=reach, is_causal=is_causal, offset=query_offset, block_rows=block_rows
    )
    if allowed is not None:
        allowed = allowed.reshape((1,) * (4 - allowed.dim()) + allowed.shape).expand(-1, -1, -1, keys)
    table = table[radius - reach : radius + reach + 1].to(query.dtype)
    return attend_in_blocks(query, key, value, table, allowed=allowed, geometry=geometry, dropout=dropout)


def _check(query: Tensor, key: Tensor, value: Tensor, table: Tensor, *, allowed: Tensor | None, dropout: float) -> None:
    batch, heads, queries, size = query.shape
    if key.shape != value.shape or key.shape[:2] != query.shape[:2] or key.shape[3] != size:
        raise ShapeError(
            f"key {tuple(key.shape)} and value {tuple(value.shape)} do not fit query {tuple(query.shape)}: "
            "all are (batch, heads, length, head size), and only the length of the query may differ"
        )
    if table.dim() != 2 or len(table) % 2 == 0 or table.shape[1] != size:
        raise ShapeError(f"the table of distances must be (2 P + 1, head size {size}), got {tuple(table.shape)}")
    scores = (batch, heads, queries, key.shape[2])
    if allowed is not None and not _broadcasts(allowed.shape, scores):
        raise ShapeError(f"allowed {tuple(allowed.shape)} does not broadcast to (batch, heads, query, key) {scores}")
    if not 0.0 <= dropout < 1.0:
        raise ShapeError(f"dropout must be in [0, 1), got {dropout}")


def _broadcasts(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    return len(shape) <= len(target) and all(
        have in (1, want) for have, want in zip(reversed(shape), reversed(target), strict=False)
    )
