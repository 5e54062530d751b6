"""The one transformer block of all four model families."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from plm.blocks.attention import Attention
from plm.blocks.cache import KeyValueCache
from plm.blocks.dropout import Dropout
from plm.blocks.feed_forward import FeedForward
from plm.blocks.kernels import Kernel
from plm.blocks.layout import Layout
from plm.blocks.tap import Tap


@dataclass(frozen=True, kw_only=True)
class BlockConfig:
    """Everything in which blocks differ.

    norm: "post" = after the residual sum (BERT, NEZHA, TinyBERT, GPT-1); "pre" = before attention and feed-forward.
    """

    hidden_size: int
    num_attention_heads: int
    intermediate_size: int
    activation: str
    norm_eps: float
    dropout: float
    attention_dropout: float
    norm: Literal["post", "pre"] = "post"


class Block(nn.Module):
    """Attention and feed-forward, each with a residual sum, dropout and a norm."""

    def __init__(self, config: BlockConfig, kernel: Kernel) -> None:
        super().__init__()
        self.attention = Attention(
            hidden_size=config.hidden_size,
            num_attention_heads=config.num_attention_heads,
            dropout=config.attention_dropout,
            kernel=kernel,
        )
        self.attention_norm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps)
        self.feed_forward = FeedForward(
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            activation=config.activation,
        )
        self.feed_forward_norm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps)
        self.dropout = Dropout(config.dropout)
        self.pre_norm = config.norm == "pre"

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
        if self.pre_norm:
            attended = self.attention(self.attention_norm(hidden), layout, cache=cache, tap=tap, layer=layer)
            hidden = hidden + self.dropout(attended)
            hidden = hidden + self.dropout(self.feed_forward(self.feed_forward_norm(hidden)))
        else:
            attended = self.attention(hidden, layout, cache=cache, tap=tap, layer=layer)
            hidden = self.attention_norm(hidden + self.dropout(attended))
            hidden = self.feed_forward_norm(hidden + self.dropout(self.feed_forward(hidden)))
        return hidden
