"""Texts that grow: an engine, what it has read so far, and its scores for the next token."""

from __future__ import annotations

import torch
from torch import Tensor

from plm.errors import ShapeError
from plm.generation.prompts import Prompts
from plm.heads.engine import CausalEngine, Reading, as_engine
from plm.heads.model import Model


class Decoder:
    """Rows of tokens, all as long as each other, that a causal model reads once each.

        decoder = Decoder(model, prompts, capacity=prompts.length + 64)
        logits = decoder.logits()                # (rows, vocab_size), after the last token
        decoder.append(logits.argmax(-1))        # read with what else is appended until logits are asked for

    model: a Model, or the engine of a backend. ids: (rows, length), int64, prompts and all that was appended; prompts
        of other lengths are filled on the left.
    capacity: tokens of a row at most. window: positions that the model has; None = any number. Where rows grow beyond
        it, the oldest quarter of the window is forgotten, and the rest read anew.
    cached: False = everything is read again each time: the slow twin, for tests.
    Raises ConfigError for a model that has no language model, or sees what comes after; ShapeError where it has
    positions for fewer tokens than `capacity`, and no window.
    """

    def __init__(
        self,
        model: Model | CausalEngine,
        prompts: Prompts,
        *,
        capacity: int,
        window: int | None = None,
        cached: bool = True,
    ) -> None:
        self.engine = as_engine(model)
        self.ids, self._live, self._types = prompts.ids, prompts.live, prompts.types
        if window is None:
            check_capacity(self.engine, capacity)
        self._prompt, self._window = prompts.length, window
        self._capacity = capacity if window is None else min(capacity, window)
        self._cached = cached
        self._first = 0  # columns before it are forgotten
        self._seen = 0  # columns before it are read
        self._reading: Reading | None = None

    def append(self, ids: Tensor, types: Tensor | None = None) -> None:
        """Add a token to every row. ids: (rows,), int64. types: (rows,), its token types; None = those of the last."""
        self.ids = torch.cat([self.ids, ids[:, None]], dim=1)
        if self._live is not None:
            self._live = torch.cat([self._live, self._live.new_ones(len(ids), 1)], dim=1)
        if self._types is not None:
            added = self._types[:, -1:] if types is None else types[:, None]
            self._types = torch.cat([self._types, added], dim=1)

    def logits(self) -> Tensor:
        """Scores of every token for the place after the last one, (rows, vocab_size), float32."""
        length = self.ids.shape[1]
        if self._window is not None and length - self._first > self._window:
            self._first = length - (self._window - self._window // 4)
            self._reading = None
        if self._reading is None or not self._cached:
            self._reading = self.engine.begin(self._capacity if self._cached else 0)
            self._seen = self._first
        logits = self._reading.read(
            self.ids[:, self._seen :],
            None if self._live is None else self._live[:, self._first :],
            None if self._types is None else self._types[:, self._seen :],
            self._prefix(),
        )
        self._seen = length
        return logits

    def select(self, rows: Tensor) -> None:
        """Keep the given rows in the given order, also several times. rows: (new rows,), int64."""
        self.ids = self.ids[rows]
        self._live = None if self._live is None else self._live[rows]
        self._types = None if self._types is None else self._types[rows]
        if self._reading is not None:
            self._reading.select(rows)

    def _prefix(self) -> Tensor | None:
        """Of a model that reads its prompt both ways: live tokens of the prompt among those it has not forgotten."""
        if self.engine.config.attention_pattern != "prefix" or self._seen > self._first:
            return None
        live = torch.ones_like(self.ids) if self._live is None else self._live
        return live[:, self._first : self._prompt].sum(1)


def check_capacity(engine: CausalEngine, needed: int) -> None:
    """Raises ShapeError when the model has positions for fewer tokens than `needed`."""
    limit = engine.positions
    if limit is not None and needed > limit:
        raise ShapeError(
            f"prompt and new tokens are {needed} tokens together, the model has {limit} positions: shorten the prompt, "
            'lower max_new_tokens, or let it forget the oldest (overflow="slide")'
        )
