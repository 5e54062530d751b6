"""Prompts of any lengths as one rectangle that ends with the last token of each."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from plm.errors import ShapeError


@dataclass(frozen=True)
class Prompts:
    """Tokens to go on from, filled on the left, so that all rows grow at the same place.

    ids: (rows, length), int64. live: (rows, length), bool, or None where nothing is filled.
    types: (rows, length), int64 token types, or None.
    """

    ids: Tensor
    live: Tensor | None
    types: Tensor | None

    @classmethod
    def of(
        cls, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None
    ) -> Prompts:
        """From a batch padded on either side.

        input_ids: (rows, length), int64. attention_mask: the same, 0/1 or bool, None = no padding. token_type_ids: like
        input_ids. Raises ShapeError for other shapes, for rows without any token, and for gaps inside a row.
        """
        if input_ids.dim() != 2 or 0 in input_ids.shape:
            raise ShapeError(f"prompts are (rows, length) with at least one token each, got {tuple(input_ids.shape)}")
        for name, given in (("attention_mask", attention_mask), ("token_type_ids", token_type_ids)):
            if given is not None and given.shape != input_ids.shape:
                raise ShapeError(f"{name} is {tuple(given.shape)}, the prompts are {tuple(input_ids.shape)}")
        if attention_mask is None or bool((attention_mask != 0).all()):
            return cls(input_ids, None, token_type_ids)
        live = attention_mask != 0
        counts = live.sum(1)
        if not bool((counts > 0).all()):
            raise ShapeError(f"row {int((counts == 0).nonzero()[0])} of the prompts has no token: give it one")
        if bool((_span(live) != counts).any()):
            raise ShapeError("attention_mask has gaps inside a row: prompts are padded on one side")
        width = int(counts.max())
        place = torch.arange(width, device=live.device) - (width - counts)[:, None]  # of each column in its text
        source = (place.clamp(min=0) + live.to(torch.uint8).argmax(1)[:, None]).clamp(max=live.shape[1] - 1)
        filled = place >= 0
        return cls(
            input_ids.gather(1, source),
            None if bool(filled.all()) else filled,
            None if token_type_ids is None else token_type_ids.gather(1, source),
        )

    @property
    def length(self) -> int:
        """Tokens of the longest prompt."""
        return self.ids.shape[1]

    def row(self, number: int) -> list[int]:
        """The tokens of one prompt, without filling."""
        row = self.ids[number]
        tokens: list[int] = (row if self.live is None else row[self.live[number]]).tolist()
        return tokens


def _span(live: Tensor) -> Tensor:
    """(rows,), columns from the first to the last live one."""
    columns = torch.arange(live.shape[1], device=live.device)
    first = columns.masked_fill(~live, live.shape[1]).min(1).values
    return columns.masked_fill(~live, -1).max(1).values - first + 1
