"""What goes on with texts token by token: the protocol that generation drives, and a Model behind it.

A backend that can do this gives a CausalEngine; plm.generation asks nothing else of it.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from plm.blocks.cache import KeyValueCache
from plm.errors import ConfigError
from plm.heads.language_model import LanguageModel
from plm.heads.model import Model
from plm.models.config import ModelConfig


class Reading(Protocol):
    """Rows of tokens, all as long as each other, of which an engine remembers what it has read."""

    def read(
        self, ids: Tensor, live: Tensor | None = None, types: Tensor | None = None, prefix: Tensor | None = None
    ) -> Tensor:
        """Read more tokens of every row; what follows the last of them, (rows, vocab_size), float32 logits.

        ids: (rows, new), int64, one or more. types: (rows, new), int64, their token types; None = all are 0.
        live: (rows, read before + new), bool, True = a token, False = filling on the left; None = nothing is filled.
        prefix: (rows,), int64, tokens of a row that see each other both ways; of models of that pattern, once.
        When it raises, what was read before is still remembered.
        """
        ...

    def select(self, rows: Tensor) -> None:
        """Keep the given rows in the given order, also several times, of what was read. rows: (new rows,), int64."""
        ...


class CausalEngine(Protocol):
    """A causal language model that can be asked what comes next. It may be used by many readings in turn."""

    @property
    def config(self) -> ModelConfig:
        """Of the model."""
        ...

    @property
    def device(self) -> torch.device:
        """Where it takes and gives tensors."""
        ...

    @property
    def positions(self) -> int | None:
        """Tokens that it has positions for; None = any number."""
        ...

    def begin(self, capacity: int) -> Reading:
        """Nothing read yet. capacity: tokens of a row at most; 0 = there will be one read, of which nothing is kept."""
        ...


class ModelEngine:
    """A Model as a CausalEngine, in evaluation mode or not, as it is.

    Raises ConfigError for a model that has no language model, or sees what comes after.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.language_model = language_model(model)

    @property
    def config(self) -> ModelConfig:
        """See CausalEngine."""
        return self.model.config

    @property
    def device(self) -> torch.device:
        """See CausalEngine."""
        return self.model.device

    @property
    def positions(self) -> int | None:
        """See CausalEngine."""
        table = self.model.backbone.embeddings.position
        return None if table is None else table.num_embeddings

    def begin(self, capacity: int) -> ModelReading:
        """See CausalEngine."""
        return ModelReading(self, self.model.new_cache(capacity) if capacity else None)


class ModelReading:
    """What a ModelEngine has read, as keys and values. cache: None = nothing is kept."""

    def __init__(self, engine: ModelEngine, cache: KeyValueCache | None) -> None:
        self._engine, self._cache = engine, cache

    @torch.inference_mode()
    def read(
        self, ids: Tensor, live: Tensor | None = None, types: Tensor | None = None, prefix: Tensor | None = None
    ) -> Tensor:
        """See Reading."""
        encoding = self._engine.model.backbone(ids, live, types, prefix_lengths=prefix, cache=self._cache)
        last = encoding.hidden[:, -1] if encoding.hidden.dim() == 3 else encoding.last_tokens
        logits: Tensor = self._engine.language_model(last, encoding.word_embeddings)
        return logits.float()

    def select(self, rows: Tensor) -> None:
        """See Reading."""
        if self._cache is not None:
            self._cache.select(rows)


def as_engine(model: Model | CausalEngine) -> CausalEngine:
    """A Model as an engine; an engine as it is. Raises ConfigError for what is neither."""
    if isinstance(model, Model):
        return ModelEngine(model)
    if not hasattr(model, "begin"):
        raise ConfigError(
            f"{type(model).__name__} does not go on with texts: give a causal Model or an engine, or ask "
            'pipeline("text-generation", folder, backend=...)'
        )
    return model


def language_model(model: Model) -> LanguageModel:
    """The part of a model's heads that scores words.

    Raises ConfigError when there is none, or when the model sees what comes after a word.
    """
    require_causal(model.config)
    for head in model.heads.values():
        found = getattr(head, "language_model", None)
        if isinstance(found, LanguageModel):
            return found
    listed = ", ".join(model.heads) or "none"
    raise ConfigError(f"no head of this model scores words (heads: {listed}): load it with AutoModelForCausalLM")


def require_causal(config: ModelConfig) -> None:
    """Raise ConfigError for a model that sees what comes after a word."""
    if config.attention_pattern == "full":
        raise ConfigError(
            f"this {config.model_type} sees the words after a word, so it cannot go on with a text: load one "
            "that was trained with a causal mask; where its config does not say so, with is_decoder=True"
        )
