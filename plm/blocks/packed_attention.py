"""Dot-product attention over packed sequences in training: few operators, no padding in between, its own gradient.

What is kept for the way back is the inputs and, of the size of the scores, the probabilities and what dropout leaves of
them. With `p` for the probabilities, `w` for those that survive and `g` for the gradient of the context, the gradient
of the scores is `w * (g v') - p * (g . context)`: the sum over keys in the derivative of softmax is the product of two
rows that are there anyway. Source: Dao et al. 2022 (FlashAttention), appendix B.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from plm.blocks.dropout import boost, kept
from plm.blocks.layout import Packed, causal_allowed
from plm.blocks.rectangles import Rectangle


def attend_packed(query: Tensor, key: Tensor, value: Tensor, layout: Packed, *, dropout: float) -> Tensor:
    """softmax(q k / sqrt(d)) v within each sequence of a layout whose pattern is "full" or "causal".

    query, key, value: (tokens, heads, head size), of one dtype, on the CPU. Returns the same shape.
    dropout: in [0, 1), share of the probabilities set to zero; the bits follow from torch's default generator.
    Computes in float32 at least. Can be differentiated once.
    """
    context: Tensor = _PackedAttention.apply(query, key, value, layout, dropout)  # type: ignore[no-untyped-call]
    return context


class _PackedAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, layout: Packed, dropout: float) -> Tensor:
        context = torch.empty_like(query, memory_format=torch.contiguous_format)
        held: list[Tensor] = []
        with torch.autocast("cpu", enabled=False):
            for rectangle in layout.rectangles:
                q, k, v = (_wide(rectangle.load(rows)) for rows in (query, key, value))
                q *= _scale(q)
                probabilities = _probabilities(rectangle, q, k, is_causal=layout.pattern == "causal")
                weights = probabilities * kept(probabilities.shape, dropout) if dropout else probabilities
                rectangle.store(torch.bmm(weights, v).mul_(boost(dropout)), context)
                held += (q, k, v, probabilities, weights)
        ctx.save_for_backward(context, *held)
        ctx.layout, ctx.dropout = layout, dropout
        return context

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_context: Tensor) -> tuple[Tensor | None, ...]:
        context, *held = ctx.saved_tensors
        grads = tuple(torch.empty_like(context) for _ in range(3))
        with torch.autocast("cpu", enabled=False):
            sums = (_wide(grad_context) * context).sum(-1, keepdim=True)
            for number, rectangle in enumerate(ctx.layout.rectangles):
                q, k, v, probabilities, weights = held[5 * number : 5 * number + 5]
                grad = _wide(rectangle.load(grad_context, padding=0.0)) * boost(ctx.dropout)
                rectangle.store(torch.bmm(weights.transpose(1, 2), grad), grads[2])
                grad_scores = torch.bmm(grad, v.transpose(1, 2)).mul_(weights)
                grad_scores.addcmul_(probabilities, _wide(rectangle.load(sums, padding=0.0)), value=-1.0)
                rectangle.store(torch.bmm(grad_scores, k).mul_(_scale(q)), grads[0])
                rectangle.store(torch.bmm(grad_scores.transpose(1, 2), q), grads[1])
        return (*grads, None, None)


def _scale(query: Tensor) -> float:
    return 1.0 / math.sqrt(query.shape[-1])


def _probabilities(rectangle: Rectangle, query: Tensor, key: Tensor, *, is_causal: bool) -> Tensor:
    """Softmax of the scores, (sequences * heads, length, length). query: scaled."""
    bias = None
    if is_causal:  # padding is on the right, where no token looks
        hidden = ~causal_allowed(rectangle.length, rectangle.length)
        bias = torch.zeros(hidden.shape, dtype=query.dtype).masked_fill_(hidden, -math.inf)[None]
    elif rectangle.places is not None:
        bias = rectangle.padding(query.dtype).repeat_interleave(len(query) // len(rectangle.lengths), 0)
    products = (query, key.transpose(1, 2))
    scores = torch.bmm(*products) if bias is None else torch.baddbmm(bias, *products)
    return torch.softmax(scores, -1, out=scores)


def _wide(tensor: Tensor) -> Tensor:
    """In float32, or as it is if it has more."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
