"""GPT-1 computes OpenAI's formulas, transcribed to NumPy as an independent witness."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from plm.errors import ConfigError
from plm.heads.model import Model, build_model
from tests.tiny_models import random_ids, tiny_config, tiny_model
from tests.tolerances import assert_close

Array = np.ndarray[Any, np.dtype[np.float64]]


def norm(rows: Array, scale: Array, shift: Array) -> Array:
    """Biased variance, 1e-5 inside the root."""
    centred = rows - rows.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * scale + shift


def gelu(x: Array) -> Array:
    """The tanh form."""
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))  # type: ignore[no-any-return]


def block(x: Array, weights: dict[str, Array], number: int, heads: int) -> Array:
    """a = attention(x); n = norm(x + a); norm(n + mlp(n)). x: (length, hidden)."""

    def linear(rows: Array, name: str) -> Array:
        prefix = f"backbone.blocks.{number}.{name}"
        return rows @ weights[f"{prefix}.weight"].T + weights[f"{prefix}.bias"]

    def normed(rows: Array, name: str) -> Array:
        prefix = f"backbone.blocks.{number}.{name}"
        return norm(rows, weights[f"{prefix}.weight"], weights[f"{prefix}.bias"])

    length, hidden = x.shape
    query, key, value = (
        linear(x, f"attention.{name}").reshape(length, heads, -1).swapaxes(0, 1) for name in ("query", "key", "value")
    )
    triangle = np.tril(np.ones((length, length)))
    scores = query @ key.swapaxes(1, 2) / np.sqrt(hidden // heads) * triangle - 1e9 * (1 - triangle)
    probabilities = np.exp(scores - scores.max(-1, keepdims=True))
    probabilities /= probabilities.sum(-1, keepdims=True)
    attended = linear((probabilities @ value).swapaxes(0, 1).reshape(length, hidden), "attention.output")
    middle = normed(x + attended, "attention_norm")
    return normed(middle + linear(gelu(linear(middle, "feed_forward.up")), "feed_forward.down"), "feed_forward_norm")


def logits_of(model: Model, ids: list[int], types: list[int] | None = None) -> Array:
    """(length, vocabulary), in float64."""
    weights = {name: held.detach().double().numpy() for name, held in model.named_parameters()}
    words = weights["backbone.embeddings.word.weight"]
    x = words[ids] + weights["backbone.embeddings.position.weight"][: len(ids)]
    if types is not None:
        x = x + words[types]
    for number in range(model.config.num_hidden_layers):
        x = block(x, weights, number, model.config.num_attention_heads)
    return x @ words.T


@pytest.mark.parametrize("typed", [False, True])
def test_logits_are_those_of_openai_formulas(typed: bool) -> None:
    model, ids = tiny_model("openai-gpt", "causal_lm").eval(), random_ids(2, 7)
    types = random_ids(2, 7, seed=1) if typed else None
    logits = model(ids, token_type_ids=types)["logits"]
    for row in range(2):
        expected = logits_of(model, ids[row].tolist(), None if types is None else types[row].tolist())
        assert_close(logits[row], torch.from_numpy(expected), dtype=torch.float32)


def test_there_is_no_pooler_for_anybody() -> None:
    assert tiny_model("openai-gpt", pooler=True).backbone.pooler is None
    assert tiny_model("openai-gpt")(random_ids(1, 3)).keys() == ["last_hidden_state"]
    with pytest.raises(ConfigError, match="next_sentence reads the pooled first token, and this openai-gpt"):
        build_model(tiny_config("openai-gpt"), ("next_sentence",))
    with pytest.raises(ConfigError, match="classifier_pooling: GPT-1 has no pooler, expected 'last_token'"):
        tiny_config("openai-gpt", classifier_pooling="pooled")


def test_dropouts_of_its_own_are_probabilities() -> None:
    for name in ("embedding_dropout_prob", "summary_dropout"):
        with pytest.raises(ConfigError, match=f"{name}: expected a probability"):
            tiny_config("openai-gpt", **{name: 1.0})


def test_dropout_of_the_embeddings_is_a_field_of_its_own() -> None:
    model, ids = tiny_model("openai-gpt", embedding_dropout_prob=0.5), random_ids(1, 5)
    assert not torch.equal(model(ids)["last_hidden_state"], model(ids)["last_hidden_state"])
