"""How far the attention scores of two blocks are apart, over pairs of real tokens.

`scores_distance_reference` says it with operators that torch differentiates. `scores_distance` computes the same, and
the gradient along with it: nothing of the size of the scores is kept for the way back.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from plm.blocks.eager import is_transformed
from plm.blocks.kernels import DotProduct, Kernel
from plm.blocks.layout import Layout, Packed, causal_allowed
from plm.blocks.rectangles import Rectangle


@dataclass(frozen=True)
class Projections:
    """Queries and keys of one block, (batch, length, heads, head size) or (tokens, heads, head size).

    kernel: which makes scores of them.
    """

    query: Tensor
    key: Tensor
    kernel: Kernel


def scores_distance(own: Projections, theirs: Projections, layout: Layout, *, averages_heads: bool = False) -> Tensor:
    """Mean squared difference of the scores before the softmax, over heads and pairs of tokens, in float32.

    A pair counts if both tokens are real and the first may attend to the second. Gradients flow into `own` alone.
    averages_heads: True = of the means over the heads, whose numbers may then differ.
    """
    if is_transformed():
        return scores_distance_reference(own, theirs, layout, averages_heads=averages_heads)
    distance: Tensor = _Distance.apply(own.query, own.key, own.kernel, theirs, layout, averages_heads)  # type: ignore[no-untyped-call]
    return distance


def scores_distance_reference(
    own: Projections, theirs: Projections, layout: Layout, *, averages_heads: bool = False
) -> Tensor:
    """`scores_distance`, step by step."""
    total, count = (own.query.new_zeros((), dtype=torch.float32) for _ in range(2))
    with torch.autocast(own.query.device.type, enabled=False):
        for area in _areas(layout):
            scores, target = (area.scores(each, averages_heads=averages_heads) for each in (own, theirs))
            total = total + area.hide(scores - target.detach()).square().sum()
            count += area.pairs * scores.shape[1]
    return total / count.clamp(min=1.0)


class _Distance(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        kernel: Kernel,
        theirs: Projections,
        layout: Layout,
        averages_heads: bool,
    ) -> Tensor:
        total, count = (query.new_zeros((), dtype=torch.float32) for _ in range(2))
        grads = [torch.zeros_like(rows, memory_format=torch.contiguous_format) for rows in (query, key)]
        own = Projections(query, key, kernel)
        are_products = isinstance(kernel, DotProduct) and isinstance(theirs.kernel, DotProduct) and not averages_heads
        with torch.autocast(query.device.type, enabled=False):
            for area in _areas(layout):
                difference, parts = (
                    _of_products(area, own, theirs)
                    if are_products
                    else _of_scores(area, own, theirs, averages_heads=averages_heads)
                )
                flat = difference.flatten()
                total += torch.dot(flat, flat)
                count += area.pairs * difference.shape[1]
                for grad, part in zip(grads, parts, strict=True):
                    area.store(part, grad)
        ctx.save_for_backward(*grads)
        ctx.factor = 2.0 / count.clamp_(min=1.0)
        return total / count

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        factor = grad * ctx.factor
        return (*((factor * held).to(held.dtype) for held in ctx.saved_tensors), None, None, None, None)


@dataclass(frozen=True)
class _Area:
    """Texts whose scores are computed together.

    rectangle: where they lie in a packed layout; None = the whole of a padded one.
    counted: bool, broadcastable to (texts, heads, length, length); None = all. pairs: how many, in one head.
    """

    rectangle: Rectangle | None
    counted: Tensor | None
    pairs: Tensor | int

    @classmethod
    def of(
        cls, rectangle: Rectangle | None, live: Tensor | None, shape: tuple[int, int], *, triangle: Tensor | None
    ) -> _Area:
        """live: (texts, length), bool; None = there is no padding. shape: (texts, length).

        triangle: (length, length), bool, who may attend to whom; None = everybody.
        """
        counted = None if live is None else live[:, None, :, None] & live[:, None, None, :]
        if triangle is not None:
            counted = triangle.expand(shape[0], 1, -1, -1) if counted is None else counted & triangle
        return cls(rectangle, counted, shape[0] * shape[1] ** 2 if counted is None else counted.sum())

    def load(self, rows: Tensor) -> Tensor:
        """Queries or keys in their layout -> (texts, heads, length, head size)."""
        if self.rectangle is None:
            return rows.transpose(1, 2)
        return torch.unflatten(self.rectangle.load(rows), 0, (len(self.rectangle.lengths), -1))

    def store(self, values: Tensor, rows: Tensor) -> None:
        """The way back."""
        if self.rectangle is None:
            rows.copy_(values.transpose(1, 2))
        else:
            self.rectangle.store(values, rows)

    def scores(self, part: Projections, *, averages_heads: bool) -> Tensor:
        """(texts, heads or 1, length, length), float32."""
        query, key = (self.load(rows).float() for rows in (part.query, part.key))
        return _scores(part.kernel, query, key, averages_heads=averages_heads)

    def hide(self, difference: Tensor) -> Tensor:
        """The same with 0 for pairs that do not count; may change it in place."""
        if self.counted is None:
            return difference
        return difference.masked_fill_(~self.counted, 0.0)


def _of_scores(
    area: _Area, own: Projections, theirs: Projections, *, averages_heads: bool
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The difference of the scores of an area; half the gradients of its squares by query and key."""
    target = area.scores(theirs, averages_heads=averages_heads)
    with torch.enable_grad():
        loaded = tuple(area.load(rows).float().requires_grad_() for rows in (own.query, own.key))
        scores = _scores(own.kernel, *loaded, averages_heads=averages_heads)
    difference = area.hide(scores.detach() - target)
    return difference, torch.autograd.grad(scores, loaded, difference)


def _of_products(area: _Area, own: Projections, theirs: Projections) -> tuple[Tensor, tuple[Tensor, ...]]:
    """`_of_scores` where scores are scaled dot products: Q K' - q k' = [Q, -q] [K, k]', so that nothing of their size
    is made but the difference.
    """
    query, key = (area.load(rows).float() for rows in (own.query, own.key))
    query = query / math.sqrt(query.shape[-1])
    their_query, their_key = (area.load(rows).float() for rows in (theirs.query, theirs.key))
    left = torch.cat([query, their_query / -math.sqrt(their_query.shape[-1])], dim=-1)
    right = torch.cat([key, their_key], dim=-1)
    difference = area.hide(left @ right.transpose(-1, -2))
    return difference, (difference @ (key / math.sqrt(key.shape[-1])), difference.transpose(-1, -2) @ query)


def _scores(kernel: Kernel, query: Tensor, key: Tensor, *, averages_heads: bool) -> Tensor:
    scores = kernel.scores(query, key)
    return scores.mean(1, keepdim=True) if averages_heads else scores


def _areas(layout: Layout) -> Iterator[_Area]:
    """The texts of a layout, in as few rectangles as are worth it."""
    if isinstance(layout, Packed):
        for rectangle in layout.rectangles:
            shape = len(rectangle.lengths), rectangle.length
            live = None if rectangle.places is None else ~rectangle.is_padding.view(shape)
            triangle = causal_allowed(shape[1], shape[1]) if layout.pattern == "causal" else None
            yield _Area.of(rectangle, live, shape, triangle=triangle)
    else:
        device, shape = layout.first.device, (len(layout.first), layout.positions.shape[1])
        triangle = causal_allowed(shape[1], shape[1], device=device) if layout.is_causal else None
        yield _Area.of(None, layout.live, shape, triangle=triangle)
