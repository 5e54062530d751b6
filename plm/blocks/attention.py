"""Multi-head self-attention over either layout, with an optional cache."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from plm.blocks.cache import KeyValueCache
from plm.blocks.kernels import Kernel, attend
from plm.blocks.layout import Layout, Padded
from plm.blocks.linear import Linear, project
from plm.blocks.tap import Tap
from plm.errors import ShapeError


class Attention(nn.Module):
    """Projects to queries, keys and values, attends, and projects back.

    kernel: shared by all blocks of a model, so that its constants exist once.
    """

    def __init__(self, *, hidden_size: int, num_attention_heads: int, dropout: float, kernel: Kernel) -> None:
        super().__init__()
        self.heads = num_attention_heads
        self.dropout = dropout
        self.kernel = kernel
        self.query = Linear(hidden_size, hidden_size)
        self.key = Linear(hidden_size, hidden_size)
        self.value = Linear(hidden_size, hidden_size)
        self.output = Linear(hidden_size, hidden_size)

    def forward(
        self,
        hidden: Tensor,
        layout: Layout,
        *,
        cache: KeyValueCache | None = None,
        tap: Tap | None = None,
        layer: int = 0,
    ) -> Tensor:
        """hidden: (batch, length, hidden) or (tokens, hidden). Returns the same shape."""
        projected = project(hidden, (self.query, self.key, self.value))
        query, key, value = (torch.unflatten(rows, -1, (self.heads, -1)) for rows in projected)
        if tap is not None and tap.wants(f"blocks.{layer}.query", f"blocks.{layer}.key"):
            tap.put(f"blocks.{layer}.query", layout.restore(query))
            tap.put(f"blocks.{layer}.key", layout.restore(key))
        if isinstance(layout, Padded):
            key, value = key.transpose(1, 2), value.transpose(1, 2)
            if cache is not None:
                key, value = cache.update(layer, key, value)
        elif cache is not None:
            raise ShapeError("a cache needs the padded layout: packed sequences are complete")
        dropout = self.dropout if self.training else 0.0
        names = (f"blocks.{layer}.scores", f"blocks.{layer}.probabilities")
        if tap is not None and tap.wants(*names):
            context = self._explained(query, key, value, layout, dropout=dropout, tap=tap, names=names)
        else:
            context = attend(self.kernel, query, key, value, layout, dropout=dropout)
        output: Tensor = self.output(context.flatten(-2))
        return output

    def _explained(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        layout: Layout,
        *,
        dropout: float,
        tap: Tap,
        names: tuple[str, str],
    ) -> Tensor:
        if not isinstance(layout, Padded):
            raise ShapeError(f"{names[0]} is a rectangle for each sequence: call with padded tensors to tap it")
        context, scores, probabilities = self.kernel.explain(
            query.transpose(1, 2),
            key,
            value,
            allowed=layout.allowed,
            is_causal=layout.is_causal,
            past=layout.past,
            dropout=dropout,
        )
        tap.put(names[0], scores)
        tap.put(names[1], probabilities)
        return context.transpose(1, 2)
