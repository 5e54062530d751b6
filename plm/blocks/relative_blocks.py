"""Relative attention over blocks of query rows, forward and backward.

Each block goes through scores, probabilities and context on its own, in memory that the blocks use in turn. Backward
computes the probabilities of a block anew and draws the same dropout again, so nothing of the size of the scores is
kept. `relative` says what is computed, `distance_band` how distances and scores go together.
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from plm.blocks.distance_band import Block, Geometry, Part

# Dropout compares 16 random bits with a threshold. On many CPUs that costs a quarter of torch's own Bernoulli.
_LEVELS = 1 << 16


def attend_in_blocks(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    table: Tensor,
    *,
    allowed: Tensor | None,
    geometry: Geometry,
    dropout: float,
) -> Tensor:
    """`relative.relative_attention` of checked inputs.

    table: (2 * geometry.radius + 1, head size) in the dtype of the query, without gradient.
    allowed: (batch or 1, heads or 1, query or 1, key), bool.
    """
    # The seed comes from the default generator, which gradient checkpointing rewinds.
    seed = int(torch.empty((), dtype=torch.int64).random_()) if dropout else 0
    call = _Call(geometry, dropped=round(dropout * _LEVELS), seed=seed)
    context: Tensor = _BlockAttention.apply(query, key, value, table, allowed, call)  # type: ignore[no-untyped-call]
    return context


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


class _BlockAttention(torch.autograd.Function):
    """Both directions take the same blocks in the same order, which keeps dropout the same."""

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
        self._table = Block.extend(table, geometry)
        slices = math.prod(self.parts[0].shape)
        size = slices * geometry.rows * geometry.keys
        # Scores or probabilities, their gradients, survivors of dropout: memory that is not touched costs nothing.
        self._memory = query.new_empty(3, size)
        self._band = query.new_empty(slices * Block.band_size(geometry))
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
        block.spread(rows, scores, bias=bias, hide=True)
        scores.baddbmm_(rows, seen.transpose(1, 2), beta=self.scale, alpha=self.scale)
        torch.softmax(scores, -1, out=scores)
        if dead is not None and (dead.is_cuda or bool(dead.any())):  # to look would be to wait for a GPU
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
