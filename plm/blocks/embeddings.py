"""From token ids to the first hidden states."""

from __future__ import annotations

from torch import Tensor, nn

from plm.blocks.dropout import Dropout
from plm.blocks.layout import Layout
from plm.blocks.linear import Embedding
from plm.errors import ShapeError


class Embeddings(nn.Module):
    """Sum of word, position and token type embeddings, then norm (if any) and dropout.

    positions: rows of the position table; 0 = none (relative models).
    token_types: rows of the token type table; 0 = none, and token type ids, if given, are looked up among the words,
        as GPT-1 does.
    norm_eps: None = no norm.
    """

    def __init__(
        self,
        *,
        vocab_size: int,
        hidden_size: int,
        positions: int,
        token_types: int,
        norm_eps: float | None,
        dropout: float,
    ) -> None:
        super().__init__()
        self.word = Embedding(vocab_size, hidden_size)
        self.position = Embedding(positions, hidden_size) if positions else None
        self.token_type = Embedding(token_types, hidden_size) if token_types else None
        self.norm = nn.LayerNorm(hidden_size, eps=norm_eps) if norm_eps is not None else None
        self.dropout = Dropout(dropout)

    def forward(self, input_ids: Tensor, token_type_ids: Tensor | None, layout: Layout) -> Tensor:
        """input_ids, token_type_ids: (batch, length) or (tokens,), int64. Returns the same with hidden behind.

        Raises ShapeError when a sequence is longer than the position table.
        """
        hidden: Tensor = self.word(input_ids)
        if self.token_type is not None:
            types = self.token_type.weight[0] if token_type_ids is None else self.token_type(token_type_ids)
            hidden = hidden + types
        elif token_type_ids is not None:
            hidden = hidden + self.word(token_type_ids)
        if self.position is not None:
            self._check_length(layout.longest)
            hidden = hidden + self.position(layout.positions)
        if self.norm is not None:
            hidden = self.norm(hidden)
        dropped: Tensor = self.dropout(hidden)
        return dropped

    def _check_length(self, longest: int) -> None:
        assert self.position is not None
        limit = self.position.num_embeddings
        if longest > limit:
            raise ShapeError(
                f"the text has {longest} tokens, the model has {limit} positions: truncate it "
                f"(tokenizer(..., truncation=True, max_length={limit})) or use a model with relative positions"
            )
