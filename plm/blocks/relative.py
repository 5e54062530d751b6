"""NEZHA's relative attention: a fixed table of clipped distances, added to keys and to values.

    score[i, j] = (q_i . k_j + q_i . R[i, j]) / sqrt(d)
    context[i]  = sum_j p[i, j] (v_j + R[i, j])              R[i, j] = table[clip(j - i, -P, P) + P]

`relative_attention_reference` says this with gather and scatter. `relative_attention` computes the same in blocks of
query rows, by matrix products and copies only (see `distance_band`), and keeps no tensor of the size of the scores:
backward computes the probabilities of each block anew.

Source: Wei et al. 2019 (NEZHA) and its code, which the released weights follow where the paper differs: the sinusoid
is that of the clipped distance plus P.
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from plm.blocks.distance_band import Block, Geometry, Part
from plm.errors import ShapeError

# Dropout compares 16 random bits with a threshold. On many CPUs that costs a quarter of torch's own Bernoulli.
_LEVELS = 1 << 16


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
    table = table.to(query.dtype)
    by_distance = query @ table.transpose(0, 1)
    codes = codes.expand(*query.shape[:-1], -1)
    scores = (query @ key.transpose(-1, -2) + by_distance.gather(-1, codes)) / math.sqrt(query.shape[-1])
    visible = torch.ones(codes.shape[-2:], dtype=torch.bool, device=query.device)
    if is_causal:
        visible = visible.tril(query_offset)
    if allowed is not None:
        visible = visible & allowed
    masked = scores.masked_fill(~visible, torch.finfo(scores.dtype).min)
    probabilities = masked.softmax(-1).masked_fill(~visible, 0.0)
    weights = F.dropout(probabilities, dropout)
    summed = weights.new_zeros(by_distance.shape).scatter_add(-1, codes, weights)
    return weights @ value + summed @ table, scores, probabilities


def _distance_codes(query: Tensor, key: Tensor, table: Tensor, query_offset: int) -> Tensor:
    """Rows of the table that stand for the distances: (query, key), int64."""
    radius = len(table) // 2
    rows = torch.arange(query_offset, query_offset + query.shape[-2], device=query.device)
    columns = torch.arange(key.shape[-2], device=query.device)
    return (columns - rows[:, None]).clamp(-radius, radius) + radius


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
    block_rows: int = 64,
) -> Tensor:
    """Attention with clipped distances in keys and values: (batch, heads, query, head size).

    query: (batch, heads, query, head size); key, value: (batch, heads, key, head size); all of one floating dtype.
    table: (2 P + 1, head size), see `relative_table`; used in the dtype of the query.
    allowed: bool, broadcastable to (batch, heads, query, key), True = may attend; None = everything may.
    is_causal: True = besides, query i sees only keys up to position query_offset + i.
    query_offset: position of the first query; key j stands at position j, so with a cache it is the cached length.
    dropout: in [0, 1), share of the probabilities set to zero; the bits follow from torch's default generator.
    block_rows: queries worked on at a time; changes time and memory only.
    Rows with no key to attend to are zero. Raises ShapeError where shapes do not fit together.
    """
    _check(query, key, value, table, allowed=allowed, dropout=dropout)
    if torch.compiler.is_compiling() or table.requires_grad or 0 in (query.numel(), key.numel()):
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
    queries, keys, radius = query.shape[2], key.shape[2], len(table) // 2
    reach = max(0, min(radius, max(query_offset + queries, keys - query_offset) - 1))
    table = table[radius - reach : radius + reach + 1].to(query.dtype)
    geometry = Geometry(
        batch=query.shape[0],
        heads=query.shape[1],
        queries=queries,
        keys=keys,
        radius=reach,
        is_causal=is_causal,
        offset=query_offset,
        block_rows=block_rows,
    )
    call = _Call(geometry, dropped=round(dropout * _LEVELS), seed=_draw_seed() if dropout else 0)
    if allowed is not None:
        allowed = allowed.reshape((1,) * (4 - allowed.dim()) + allowed.shape).expand(-1, -1, -1, keys)
    result: Tensor = _RelativeAttention.apply(query, key, value, table, allowed, call)
    return result


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


def _draw_seed() -> int:
    return int(torch.empty((), dtype=torch.int64).random_())


@dataclass(frozen=True)
class _Call:
    """What forward and backward have to do alike.

    dropped: dropout in units of 1 / 2^16. seed: of its random bits.
    """

    geometry: Geometry
    dropped: int
    seed: int

    @property
    def boost(self) -> float:
        """What probabilities that survive dropout are multiplied with."""
        return 1.0 / (1.0 - self.dropped / _LEVELS)


class _RelativeAttention(torch.autograd.Function):
    """Forward and backward over the same blocks in the same order."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, table: Tensor, allowed: Tensor | None, call: _Call
    ) -> Tensor:
        ctx.save_for_backward(query, key, value, table, allowed)
        ctx.call = call
        context = _rows_like(query)
        with _no_autocast(query):
            bench = _Bench(query, table, allowed, call)
            for part in bench.parts:
                q, k, v = (part.load(rows) for rows in (query, key, value))
                for block in bench.blocks(part):
                    weights = bench.probabilities(part, block, q, k)
                    if call.dropped:
                        weights *= bench.survivors(block)
                    mixed = block.mix(weights)
                    mixed.baddbmm_(weights, v[:, : block.keys], beta=call.boost, alpha=call.boost)
                    part.of(context)[:, :, block.rows] = block.unflatten(mixed)
        return context

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_context: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, table, allowed = ctx.saved_tensors
        grads = tuple(_rows_like(rows) for rows in (query, key, value))
        with _no_autocast(query):
            bench = _Bench(query, table, allowed, ctx.call)
            for part in bench.parts:
                inputs = _Rows(*(part.load(rows) for rows in (query, key, value, grad_context)))
                totals = _Totals(inputs)
                for block in bench.blocks(part):
                    _go_back(inputs, totals, bench, part, block)
                for grad, total in zip(grads, (totals.query, totals.key, totals.value), strict=True):
                    whole = part.of(grad)
                    whole.copy_(total.view(whole.shape))
        return (*grads, None, None, None)


class _Rows(NamedTuple):
    """What backward reads of one part, each (slices, rows, head size)."""

    query: Tensor
    key: Tensor
    value: Tensor
    grad_context: Tensor


class _Totals:
    """Gradients of one part. Those of keys and values are summed over blocks, so in float32 at least."""

    def __init__(self, rows: _Rows) -> None:
        dtype = torch.promote_types(rows.key.dtype, torch.float32)
        self.query = torch.empty_like(rows.query)
        self.key = torch.zeros_like(rows.key, dtype=dtype)
        self.value = torch.zeros_like(rows.value, dtype=dtype)


def _go_back(rows: _Rows, totals: _Totals, bench: _Bench, part: Part, block: Block) -> None:
    """Compute the probabilities of a block anew and go back through its steps."""
    seen, scale = slice(block.keys), bench.scale
    grad_mixed = rows.grad_context[:, block.rows] * bench.call.boost
    probabilities = bench.probabilities(part, block, rows.query, rows.key)
    grad = bench.second(block)
    survivors = bench.survivors(block) if bench.call.dropped else None
    weights = probabilities if survivors is None else torch.mul(probabilities, survivors, out=grad)
    _add_product(totals.value[:, seen], weights.transpose(1, 2), grad_mixed)

    block.spread(grad_mixed, grad)
    grad.baddbmm_(grad_mixed, rows.value[:, seen].transpose(1, 2))
    if survivors is not None:
        grad *= survivors
    torch.ops.aten._softmax_backward_data.out(grad, probabilities, -1, grad.dtype, grad_input=grad)

    _add_product(totals.key[:, seen], grad.transpose(1, 2), rows.query[:, block.rows], scale=scale)
    grad_query = block.mix(grad)
    totals.query[:, block.rows] = grad_query.baddbmm_(grad, rows.key[:, seen], beta=scale, alpha=scale)


def _add_product(total: Tensor, left: Tensor, right: Tensor, *, scale: float = 1.0) -> None:
    if total.dtype == left.dtype:
        total.baddbmm_(left, right, alpha=scale)
    else:
        total.add_(torch.bmm(left, right), alpha=scale)


class _Bench:
    """The memory that the blocks of a call use in turn, and the steps that forward and backward share."""

    def __init__(self, query: Tensor, table: Tensor, allowed: Tensor | None, call: _Call) -> None:
        geometry = call.geometry
        self.call, self.allowed = call, allowed
        self.scale = 1.0 / math.sqrt(query.shape[-1])
        self.parts = geometry.parts(query.element_size())
        self._table = table
        slices = math.prod(self.parts[0].shape)
        size = slices * geometry.rows * geometry.keys
        # Scores or probabilities, their gradients, survivors of dropout: memory that is not touched costs nothing.
        self._memory = query.new_empty(3, size)
        self._band = query.new_empty(slices * Block.memory(geometry))
        self._blocks: dict[tuple[int, int], list[Block]] = {}
        if call.dropped:
            self._generator = torch.Generator(query.device).manual_seed(call.seed)
            self._bits = torch.empty(-(-size // 4), dtype=torch.int64, device=query.device)

    def blocks(self, part: Part) -> list[Block]:
        """The blocks of a part; parts of one size share them."""
        if part.shape not in self._blocks:
            self._blocks[part.shape] = [
                Block(self.call.geometry, rows=rows, shape=part.shape, table=self._table, memory=self._band)
                for rows in self.call.geometry.blocks()
            ]
        return self._blocks[part.shape]

    def second(self, block: Block) -> Tensor:
        """Memory of the shape of the scores: (slices, rows, keys)."""
        return block.scores(self._memory[1])

    def probabilities(self, part: Part, block: Block, query: Tensor, key: Tensor) -> Tensor:
        """Softmax of the scores, (slices, rows, keys), valid until the next block. query, key: those of the part."""
        rows, seen = query[:, block.rows], key[:, : block.keys]
        scores = block.scores(self._memory[0])
        bias, dead = (None, None) if self.allowed is None else self._hidden(part, block, scores.dtype)
        block.spread(rows, scores, bias=bias, ahead=-math.inf)
        scores.baddbmm_(rows, seen.transpose(1, 2), beta=self.scale, alpha=self.scale)
        torch.softmax(scores, -1, out=scores)
        if dead is not None and bool(dead.any()):
            block.unflatten(scores).masked_fill_(dead, 0.0)
        return scores

    def survivors(self, block: Block) -> Tensor:
        """1 where a probability survives dropout, else 0: (slices, rows, keys). Each call draws the next bits."""
        mask = block.scores(self._memory[2])
        words = self._bits[: -(-mask.numel() // 4)].random_(-(2**63), None, generator=self._generator)
        bits = words.view(torch.int16)[: mask.numel()].view(mask.shape)
        return mask.copy_(bits.ge_(self.call.dropped - _LEVELS // 2))

    def _hidden(self, part: Part, block: Block, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """What the mask adds to the scores of a block, 0 or -inf, and which rows see nothing, (..., rows or 1, 1)."""
        assert self.allowed is not None
        allowed = part.of(self.allowed)[..., : block.keys]
        if allowed.shape[2] > 1:
            allowed = allowed[:, :, block.rows]
        bias = torch.zeros(allowed.shape, dtype=dtype, device=allowed.device).masked_fill_(~allowed, -math.inf)
        if self.call.geometry.is_causal:
            rows, columns = block.positions, torch.arange(block.keys, device=allowed.device)
            allowed = allowed & (columns <= torch.arange(rows.start, rows.stop, device=allowed.device)[:, None])
        return bias, ~allowed.any(-1, keepdim=True)


def _rows_like(tensor: Tensor) -> Tensor:
    """Empty, of the shape (batch, heads, rows, size), stored as (batch, rows, heads, size): what linear layers take."""
    batch, heads, rows, size = tensor.shape
    return tensor.new_empty(batch, rows, heads, size).transpose(1, 2)


def _no_autocast(tensor: Tensor) -> contextlib.AbstractContextManager[Any]:
    device = tensor.device.type
    if torch.is_autocast_enabled(device):
        return torch.autocast(device, enabled=False)
    return contextlib.nullcontext()
