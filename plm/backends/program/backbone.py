"""The forward pass of every family, from tokens to hidden states, as a program."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic

from plm.backends.program.ops import Ops, Value
from plm.backends.program.spec import Spec

WORDS = "backbone.embeddings.word.weight"


@dataclass(frozen=True)
class Encoding(Generic[Value]):
    """What heads see. hidden: by token. pooled: by text; None for a model without pooler."""

    hidden: Value
    pooled: Value | None


def encode(spec: Spec, ops: Ops[Value]) -> Encoding[Value]:
    """Embeddings, blocks, pooler."""
    hidden = embed(spec, ops)
    for layer in range(spec.layers):
        hidden = block(spec, ops, hidden, layer=layer)
    if spec.norm == "pre":
        hidden = ops.norm(hidden, "backbone.final_norm", eps=spec.norm_eps)
    if not spec.pooler:
        return Encoding(hidden, None)
    return Encoding(hidden, ops.linear(ops.first_tokens(hidden), "backbone.pooler.dense", activation="tanh"))


def embed(spec: Spec, ops: Ops[Value]) -> Value:
    """The sum of word, position and token type embeddings, and their norm: by token."""
    hidden, types = ops.lookup(WORDS, ops.input_ids), ops.token_type_ids
    if spec.token_types:
        table = "backbone.embeddings.token_type.weight"
        hidden = ops.add(hidden, ops.row(table, 0) if types is None else ops.lookup(table, types))
    elif types is not None:
        hidden = ops.add(hidden, ops.lookup(WORDS, types))
    if spec.positions:
        hidden = ops.add(hidden, ops.lookup("backbone.embeddings.position.weight", ops.positions))
    return ops.norm(hidden, "backbone.embeddings.norm", eps=spec.norm_eps) if spec.embedding_norm else hidden


def block(spec: Spec, ops: Ops[Value], hidden: Value, *, layer: int) -> Value:
    """One block: by token -> by token."""
    prefix, eps = f"backbone.blocks.{layer}.", spec.norm_eps
    if spec.norm == "post":
        attended = attention(spec, ops, hidden, layer=layer)
        hidden = ops.add_and_norm(attended, hidden, prefix + "attention_norm", eps=eps)
        return ops.add_and_norm(
            feed_forward(spec, ops, hidden, layer=layer), hidden, prefix + "feed_forward_norm", eps=eps
        )
    normed = ops.norm(hidden, prefix + "attention_norm", eps=eps)
    hidden = ops.add(hidden, attention(spec, ops, normed, layer=layer))
    normed = ops.norm(hidden, prefix + "feed_forward_norm", eps=eps)
    return ops.add(hidden, feed_forward(spec, ops, normed, layer=layer))


def attention(spec: Spec, ops: Ops[Value], hidden: Value, *, layer: int) -> Value:
    """Queries, keys and values, the attention, and the projection back: by token."""
    prefix = f"backbone.blocks.{layer}.attention."
    query, key, value = ops.linears(hidden, [prefix + name for name in ("query", "key", "value")])
    context = ops.attend(
        query, key, value, heads=spec.attention_heads, pattern=spec.pattern, radius=spec.radius, layer=layer
    )
    return ops.linear(context, prefix + "output")


def feed_forward(spec: Spec, ops: Ops[Value], hidden: Value, *, layer: int) -> Value:
    """Up to the inner size, activation, down again: by token."""
    prefix = f"backbone.blocks.{layer}.feed_forward."
    return ops.linear(ops.linear(hidden, prefix + "up", activation=spec.activation), prefix + "down")
