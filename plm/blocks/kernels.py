"""Attention kernels: how queries, keys and values become a context.

A kernel computes one rectangle of sequences, (batch, heads, length, head size). `attend` brings either layout to it:
a padded batch at once, a packed one run by run (neighbours of equal length), which needs no mask and no padding. In
training on CPUs, where runs would cost too many operators, packed sequences go through `packed_attention`; on GPUs that
have a kernel for them, through `varlen`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from plm.blocks import relative_features, varlen
from plm.blocks.eager import is_transformed
from plm.blocks.layout import Layout, Packed, Padded, causal_allowed, prefix_allowed
from plm.blocks.packed_attention import attend_packed
from plm.blocks.relative import (
    relative_attention,
    relative_attention_reference,
    relative_scores,
    relative_table,
)
from plm.blocks.relative_features import Call, attend_by_features
from plm.blocks.varlen import attend_varlen


class DotProduct(nn.Module):
    """Scaled dot-product attention: softmax(q k / sqrt(d)) v. Source: Vaswani et al. 2017, section 3.2.1."""

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        *,
        allowed: Tensor | None,
        is_causal: bool,
        past: int,
        dropout: float,
    ) -> Tensor:
        """Context, (batch, heads, query, head size). Rows with no key to attend to are zero.

        query: (batch, heads, query, head size); key, value: (batch, heads, key, head size).
        allowed: bool, broadcastable to (batch, heads, query, key); is_causal: besides, nothing right of past + row.
        """
        if is_causal and (past or allowed is not None):
            triangle = causal_allowed(query.shape[2], key.shape[2], past=past, device=query.device)
            allowed, is_causal = triangle if allowed is None else allowed & triangle, False
        return F.scaled_dot_product_attention(
            query, key, value, attn_mask=allowed, dropout_p=dropout, is_causal=is_causal
        )

    def explain(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        *,
        allowed: Tensor | None,
        is_causal: bool,
        past: int,
        dropout: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The same step by step: (context, scaled scores before the mask, probabilities before dropout)."""
        scores = self.scores(query, key)
        probabilities = masked_softmax(scores, allowed=allowed, is_causal=is_causal, past=past)
        return F.dropout(probabilities, dropout) @ value, scores, probabilities

    def scores(self, query: Tensor, key: Tensor, *, past: int = 0) -> Tensor:
        """Scaled scores before the mask, (..., query, key), of query and key (..., length, head size)."""
        return query / math.sqrt(query.shape[-1]) @ key.transpose(-1, -2)


class Relative(nn.Module):
    """NEZHA's functional relative attention: distances, clipped, add to scores and to values.

    max_relative_position: distances beyond it count as it. The table, (2 * max_relative_position + 1, head size), is
    a constant: one for the whole model, in no checkpoint. Source: Wei et al. 2019, section 3.1, and the upstream code.
    """

    table: Tensor

    def __init__(self, *, max_relative_position: int, head_size: int) -> None:
        super().__init__()
        self.max_relative_position = max_relative_position
        self.register_buffer("table", relative_table(max_relative_position, head_size), persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Relative:
        """As nn.Module._apply, but the table stays exact: float32 on every device, whatever dtype parameters take."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.table = relative_table(self.max_relative_position, self.table.shape[1]).to(self.table.device)
        return self

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        *,
        allowed: Tensor | None,
        is_causal: bool,
        past: int,
        dropout: float,
    ) -> Tensor:
        """As DotProduct.forward."""
        if query.device.type in relative_features.DEVICES and not is_transformed():
            call = Call(self.max_relative_position, allowed=allowed, is_causal=is_causal, past=past, dropout=dropout)
            if relative_features.takes(query, key, call):
                return attend_by_features(query, key, value, call)
        return relative_attention(
            query, key, value, self.table, allowed=allowed, is_causal=is_causal, query_offset=past, dropout=dropout
        )

    def explain(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        *,
        allowed: Tensor | None,
        is_causal: bool,
        past: int,
        dropout: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As DotProduct.explain."""
        return relative_attention_reference(
            query, key, value, self.table, allowed=allowed, is_causal=is_causal, query_offset=past, dropout=dropout
        )

    def scores(self, query: Tensor, key: Tensor, *, past: int = 0) -> Tensor:
        """As DotProduct.scores."""
        return relative_scores(query, key, self.table, query_offset=past)


Kernel = DotProduct | Relative


def attend(
    kernel: Kernel, query: Tensor, key: Tensor, value: Tensor, layout: Layout, *, dropout: float = 0.0
) -> Tensor:
    """Run a kernel over a layout.

    query, key, value: (batch, length, heads, head size) if padded, (tokens, heads, head size) if packed; with a cache,
    key and value come as (batch, heads, past + length, head size) instead, which `layout.past` tells.
    Returns the context in the shape of the query.
    """
    context: Tensor
    if isinstance(layout, Padded):
        context = kernel(
            query.transpose(1, 2),
            key,
            value,
            allowed=layout.allowed,
            is_causal=layout.is_causal,
            past=layout.past,
            dropout=dropout,
        )
        return context.transpose(1, 2)
    if isinstance(kernel, DotProduct):
        if _trains_packed(query, layout):
            return attend_packed(query, key, value, layout, dropout=dropout)
        if _has_varlen(query, layout, dropout=dropout):
            return attend_varlen(query, key, value, layout, dropout=dropout)
    pieces = []
    for number, run in enumerate(layout.runs):
        rectangle = (run.sequences, run.length, *query.shape[1:])
        rows = slice(run.start, run.start + run.sequences * run.length)
        q, k, v = (part[rows].view(rectangle).transpose(1, 2) for part in (query, key, value))
        allowed = None
        if layout.pattern == "prefix":
            allowed = prefix_allowed(run.length, layout.prefix_lengths[number], device=query.device)
        context = kernel(q, k, v, allowed=allowed, is_causal=layout.pattern == "causal", past=0, dropout=dropout)
        pieces.append(context.transpose(1, 2).flatten(0, 1))
    return torch.cat(pieces) if len(pieces) > 1 else pieces[0]


def _trains_packed(query: Tensor, layout: Packed) -> bool:
    """True where `attend_packed` applies, and somebody wants gradients: without them, torch's own kernel is faster."""
    return (
        torch.is_grad_enabled()
        and query.requires_grad
        and query.device.type == "cpu"
        and layout.pattern != "prefix"
        and not is_transformed()
    )


def _has_varlen(query: Tensor, layout: Packed, *, dropout: float) -> bool:
    """True where the kernel for packed sequences on GPUs takes this batch."""
    return (
        query.device.type in varlen.DEVICES
        and not is_transformed()
        and varlen.takes(
            device=query.device,
            dtype=query.dtype,
            pattern=layout.pattern,
            head_size=query.shape[-1],
            dropout=dropout,
        )
    )


def masked_softmax(scores: Tensor, *, allowed: Tensor | None, is_causal: bool = False, past: int = 0) -> Tensor:
    """Softmax over the keys that may be attended to; rows without any are zero.

    scores: (batch, heads, query, key), floating.
    """
    if is_causal:
        triangle = causal_allowed(*scores.shape[-2:], past=past, device=scores.device)
        allowed = triangle if allowed is None else allowed & triangle
    if allowed is None:
        return scores.softmax(-1)
    masked = scores.masked_fill(~allowed, torch.finfo(scores.dtype).min)
    return masked.softmax(-1).masked_fill(~allowed, 0.0)
