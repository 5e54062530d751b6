"""Texts that grow: a model, what it has read so far, and its scores for the next token."""

from __future__ import annotations

import torch
from torch import Tensor

from plm.blocks.cache import KeyValueCache
from plm.errors import ConfigError, ShapeError
from plm.generation.prompts import Prompts
from plm.heads.language_model import LanguageModel
from plm.heads.model import Model


class Decoder:
    """Rows of tokens, all as long as each other, that a causal model reads once each.

        decoder = Decoder(model, prompts, capacity=prompts.length + 64)
        logits = decoder.logits()                # (rows, vocab_size), after the last token
        decoder.append(logits.argmax(-1))        # read with what else is appended until logits are asked for

    ids: (rows, length), int64, prompts and all that was appended; prompts of other lengths are filled on the left.
    capacity: tokens of a row at most. window: positions that the model has; None = any number. Where rows grow beyond
        it, the oldest quarter of the window is forgotten, and the rest read anew.
    cached: False = everything is read again each time: the slow twin, for tests.
    Raises ConfigError for a model that has no language model, or sees what comes after; ShapeError where it has
    positions for fewer tokens than `capacity`, and no window.
    """

    def __init__(
        self,
        model: Model,
        prompts: Prompts,
        *,
        capacity: int,
        window: int | None = None,
        cached: bool = True,
    ) -> None:
        self.model = model
        self.ids, self._live, self._types = prompts.ids, prompts.live, prompts.types
        self._language_model = language_model(model)
        if window is None:
            check_capacity(model, capacity)
        self._prompt, self._window = prompts.length, window
        self._capacity = capacity if window is None else min(capacity, window)
        self._cached = cached
        self._first = 0  # columns before it are forgotten
        self._cache = self._new_cache()

    def append(self, ids: Tensor, types: Tensor | None = None) -> None:
        """Add a token to every row. ids: (rows,), int64. types: (rows,), its token types; None = those of the last."""
        self.ids = torch.cat([self.ids, ids[:, None]], dim=1)
        if self._live is not None:
            self._live = torch.cat([self._live, self._live.new_ones(len(ids), 1)], dim=1)
        if self._types is not None:
            added = self._types[:, -1:] if types is None else types[:, None]
            self._types = torch.cat([self._types, added], dim=1)

    @torch.inference_mode()
    def logits(self) -> Tensor:
        """Scores of every token for the place after the last one, (rows, vocab_size), float32."""
        length = self.ids.shape[1]
        if self._window is not None and length - self._first > self._window:
            self._first = length - (self._window - self._window // 4)
            self._cache = self._new_cache()
        seen = self._first + (0 if self._cache is None else self._cache.length)
        encoding = self.model.backbone(
            self.ids[:, seen:],
            None if self._live is None else self._live[:, self._first :],
            None if self._types is None else self._types[:, seen:],
            prefix_lengths=self._prefix_lengths(seen),
            cache=self._cache,
        )
        last = encoding.hidden[:, -1] if encoding.hidden.dim() == 3 else encoding.last_tokens
        logits: Tensor = self._language_model(last, encoding.word_embeddings)
        return logits.float()

    def select(self, rows: Tensor) -> None:
        """Keep the given rows in the given order, also several times. rows: (new rows,), int64."""
        self.ids = self.ids[rows]
        self._live = None if self._live is None else self._live[rows]
        self._types = None if self._types is None else self._types[rows]
        if self._cache is not None:
            self._cache.select(rows)

    def _new_cache(self) -> KeyValueCache | None:
        return self.model.new_cache(self._capacity) if self._cached else None

    def _prefix_lengths(self, seen: int) -> Tensor | None:
        """Of a model that reads its prompt both ways: live tokens of the prompt among those it has not forgotten."""
        if self.model.config.attention_pattern != "prefix" or (self._cache is not None and self._cache.length):
            return None
        live = torch.ones_like(self.ids) if self._live is None else self._live
        return live[:, seen : self._prompt].sum(1)


def language_model(model: Model) -> LanguageModel:
    """The part of a model's heads that scores words.

    Raises ConfigError when there is none, or when the model sees what comes after a word.
    """
    if model.config.attention_pattern == "full":
        raise ConfigError(
            f"this {model.config.model_type} sees the words after a word, so it cannot go on with a text: load one "
            "that was trained with a causal mask; where its config does not say so, with is_decoder=True"
        )
    for head in model.heads.values():
        found = getattr(head, "language_model", None)
        if isinstance(found, LanguageModel):
            return found
    listed = ", ".join(model.heads) or "none"
    raise ConfigError(f"no head of this model scores words (heads: {listed}): load it with AutoModelForCausalLM")


def position_limit(model: Model) -> int | None:
    """Tokens that the model has positions for; None = any number."""
    table = model.backbone.embeddings.position
    return None if table is None else table.num_embeddings


def check_capacity(model: Model, needed: int) -> None:
    """Raises ShapeError when the model has positions for fewer tokens than `needed`."""
    limit = position_limit(model)
    if limit is not None and needed > limit:
        raise ShapeError(
            f"prompt and new tokens are {needed} tokens together, the model has {limit} positions: shorten the prompt, "
            'lower max_new_tokens, or let it forget the oldest (overflow="slide")'
        )
