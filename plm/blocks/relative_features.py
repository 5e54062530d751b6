"""NEZHA's relative attention as attention without distances, over twice the features: what GPUs have fast kernels for.

Rows of the table are sinusoids, so a distance comes apart into the positions of its two ends, as sin(x - y) does. With
`S` for the sinusoids of the keys' positions and `T` for turning by the query's,

    q_i . R[i, j] = (T_i q_i) . S_j        sum_j p[i, j] R[i, j] = T_i^-1 sum_j p[i, j] S_j

so near keys, whose distance is not clipped, need one product of `q, T q` with `k, S`, and values `v, S`. For far keys
R is one row on each side, which is simply added to them: `k + R`, `v + R`. Each part is attention under a mask that is
a band or what lies beyond it; the log-sums of their scores put the parts together. Nothing here has the size of the
scores, and kernels skip the blocks that a mask leaves empty.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, replace
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from plm.blocks.layout import causal_allowed
from plm.blocks.proof import LIMITS, compare, proven
from plm.blocks.relative import relative_attention_reference, relative_table
from plm.blocks.windows import Windows, attend_in_windows, has_windows

NAME = "relative attention over twice the features"

DEVICES = ("cuda",)

# (query, key, value, windows, live keys, scale) -> context and log-sums; see `attend_in_windows`.
WindowKernel = Callable[[Tensor, Tensor, Tensor, Windows, Tensor | None, float], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Call:
    """Options of a call, as `relative.relative_attention` has them. radius: of the table; past: query_offset."""

    radius: int
    _: KW_ONLY
    allowed: Tensor | None = None
    is_causal: bool = False
    past: int = 0
    dropout: float = 0.0

    def is_near(self, queries: int, keys: int) -> bool:
        """True where no distance is clipped."""
        return max(self.past + queries, keys) - 1 <= self.radius

    @property
    def hides_keys_alone(self) -> bool:
        """True where the mask, if any, is the same for all rows and heads of a text."""
        return self.allowed is None or (self.allowed.dim() == 4 and self.allowed.shape[1:3] == (1, 1))


def takes(query: Tensor, key: Tensor, call: Call) -> bool:
    """True where `attend_by_features` computes such a batch, and has proven it in this process.

    All masks and dropout where no distance is clipped; else masks of keys alone, no cache and no dropout.
    """
    if query.device.type not in DEVICES or query.dtype not in LIMITS or query.dtype != key.dtype:
        return False
    is_near = call.is_near(query.shape[2], key.shape[2])
    if not is_near and (call.past or call.dropout or not call.hides_keys_alone or not has_windows()):
        return False
    size, parts = query.shape[3], "near" if is_near else "near and far"
    setting = (str(query.device), query.dtype, "causal" if call.is_causal else "full", size, call.radius, parts)
    check = partial(_check, query.device, query.dtype, Call(call.radius, is_causal=call.is_causal), size, is_near)
    return proven(NAME, setting, check)


def attend_by_features(
    query: Tensor, key: Tensor, value: Tensor, call: Call, *, kernel: WindowKernel = attend_in_windows
) -> Tensor:
    """As `relative.relative_attention` with the table of this radius.

    kernel: attends within windows, for texts so long that distances are clipped.
    """
    queries, keys, size = query.shape[2], key.shape[2], query.shape[3]
    marks = _waves(0, keys, size, query.device).to(query.dtype).expand(*key.shape[:2], -1, -1)
    first = call.past - call.radius
    turn = _Turn(_waves(first, first + queries, size, query.device))
    twice = (torch.cat((query, turn(query)), -1), torch.cat((key, marks), -1), torch.cat((value, marks), -1))
    scale = 1.0 / math.sqrt(size)
    if call.is_near(queries, keys):
        return turn.back_and_add(_attend_near(*twice, call, scale))
    live = None if call.allowed is None else call.allowed[:, 0, 0].expand(len(query), -1)
    near, far = _windows(keys, call.radius, call.is_causal, query.device)
    context, sums = kernel(*twice, near, live, scale)
    # Causal rows see nothing on their right, where the other edge counts.
    edges = _edges(call.radius, size, query.device)[: 1 if call.is_causal else 2].to(query.dtype)
    far_key, far_value = ((rows[:, :, None] + edges[:, None]).flatten(2, 3) for rows in (key, value))
    live = None if live is None else live.repeat(1, len(edges))
    return _together(turn.back_and_add(context), sums, *kernel(query, far_key, far_value, far, live, scale))


def _attend_near(query: Tensor, key: Tensor, value: Tensor, call: Call, scale: float) -> Tensor:
    allowed, is_causal = call.allowed, call.is_causal
    if is_causal and (call.past or allowed is not None):
        triangle = causal_allowed(query.shape[2], key.shape[2], past=call.past, device=query.device)
        allowed, is_causal = triangle if allowed is None else allowed & triangle, False
    return F.scaled_dot_product_attention(
        query, key, value, attn_mask=allowed, dropout_p=call.dropout, is_causal=is_causal, scale=scale
    )


def _together(left: Tensor, left_sums: Tensor, right: Tensor, right_sums: Tensor) -> Tensor:
    """The context over all keys of those over two parts of them; sums are logarithms, -inf where a part is empty."""
    low = torch.finfo(left_sums.dtype).min / 4  # without keys at all, differences of infinities would have no gradient
    difference = right_sums.clamp(min=low) - left_sums.clamp(min=low)
    share = torch.sigmoid(difference)[..., None]
    context: Tensor = left * (1.0 - share) + right * share
    return context.to(left.dtype)


class _Turn:
    """Turns pairs of features by the positions of queries, so that sines and cosines become those of distances."""

    def __init__(self, waves: Tensor) -> None:
        pairs = waves.shape[1] // 2  # an odd size leaves one feature alone
        self.sine, self.cosine = torch.unflatten(waves[:, : 2 * pairs], 1, (pairs, 2)).unbind(2)

    def __call__(self, rows: Tensor) -> Tensor:
        """(..., queries, size) -> the same."""
        return self._turned(rows, self.sine)

    def back_and_add(self, mixed: Tensor) -> Tensor:
        """(..., queries, 2 * size), sums of values and of sinusoids -> (..., queries, size), the context."""
        values, waves = mixed.chunk(2, -1)
        return values + self._turned(waves, -self.sine)

    def _turned(self, rows: Tensor, sine: Tensor) -> Tensor:
        """In float32 at least, because positions are large and products with them are not."""
        wide = torch.promote_types(rows.dtype, torch.float32)
        sine, cosine = sine.to(wide), self.cosine.to(wide)
        pairs = 2 * cosine.shape[1]
        first, second = rows[..., 0:pairs:2].to(wide), rows[..., 1:pairs:2].to(wide)
        turned = torch.stack((first * cosine + second * sine, second * cosine - first * sine), -1).flatten(-2)
        return F.pad(turned, (0, rows.shape[-1] - pairs)).to(rows.dtype)


@functools.lru_cache(maxsize=16)
def _waves(start: int, stop: int, size: int, device: torch.device) -> Tensor:
    """Sinusoids of the positions start .. stop - 1 as `relative_table` has those of distances: (positions, size)."""
    with torch.inference_mode(False):  # they are kept, and may be used in training next
        frequencies = 10000.0 ** (torch.arange(size // 2, dtype=torch.float64) * (-2.0 / size))
        angles = torch.arange(start, stop, dtype=torch.float64)[:, None] * frequencies
        waves = torch.stack((angles.sin(), angles.cos()), -1).flatten(1)
        return F.pad(waves, (0, size % 2)).to(device)


@functools.lru_cache(maxsize=16)
def _edges(radius: int, size: int, device: torch.device) -> Tensor:
    """The first and the last row of the table: (2, size)."""
    with torch.inference_mode(False):
        return relative_table(radius, size)[[0, -1]].to(device)


@functools.lru_cache(maxsize=16)
def _windows(length: int, radius: int, is_causal: bool, device: torch.device) -> tuple[Windows, Windows]:
    """The queries near a key; those far behind it and, as keys of their own, those far ahead of it."""
    with torch.inference_mode(False):
        keys = torch.arange(length, device=device)
        nowhere = torch.full_like(keys, length)
        near = Windows(keys if is_causal else keys - radius, keys + radius, length)
        if is_causal:
            return near, Windows(keys + radius + 1, nowhere, length)
        # All keys once for the left edge, then all for the right one, as `attend_by_features` has them.
        first = torch.cat((keys + radius + 1, -nowhere))
        last = torch.cat((nowhere, keys - radius - 1))
        return near, Windows(first, last, length)


def _check(device: torch.device, dtype: torch.dtype, call: Call, size: int, is_near: bool) -> None:
    batch, heads, radius = 2, 2, call.radius
    length = min(radius, 40) + 1 if is_near else 2 * radius + 37
    table = relative_table(radius, size).double()
    mask = torch.ones(batch, 1, 1, length, dtype=torch.bool)
    mask[1, ..., length // 2 :] = False
    for allowed in (None, mask):
        there = replace(call, allowed=None if allowed is None else allowed.to(device))
        compare(
            partial(_attend, call=there),
            partial(_plain, table=table, allowed=allowed, is_causal=call.is_causal),
            shape=(batch, heads, length, size),
            device=device,
            dtype=dtype,
        )


def _attend(query: Tensor, key: Tensor, value: Tensor, *, call: Call) -> Tensor:
    return attend_by_features(query, key, value, call)


def _plain(
    query: Tensor, key: Tensor, value: Tensor, *, table: Tensor, allowed: Tensor | None, is_causal: bool
) -> Tensor:
    context, _, _ = relative_attention_reference(query, key, value, table, allowed=allowed, is_causal=is_causal)
    return context
