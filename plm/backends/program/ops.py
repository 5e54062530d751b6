"""The vocabulary in which programs are written: what an engine computes, or writes into a graph.

A program (`backbone`, `heads`) calls these operations in order and passes on what they return, without ever looking
inside: to NumPy's engine a value is an array, to one that emits a graph it is the name of an edge. Weights are named,
under the names of `model.state_dict()`, and never passed: engines may keep them in any form and fuse as they like.

Values come in three kinds.
    by token   One row for each token, as the engine likes to hold them: (tokens, ...) packed, or (batch, length, ...).
               The engine alone knows which texts they belong to; programs treat rows alike.
    by text    (texts, ...), the leading dimensions of the caller flattened, in the caller's order.
    answer     As the caller gets it: (*leading, ...).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, TypeVar

Value = TypeVar("Value")


class Ops(Protocol[Value]):
    """An engine with the texts of one call in it.

    leading: leading dimensions of the caller's input_ids: 1 for (batch, length), 2 with choices; 0 = the caller packs.
    input_ids: by token. token_type_ids: by token; None = the caller gave none.
    positions: by token, each token's place in its text, counted from the first live token.
    """

    @property
    def leading(self) -> int: ...

    @property
    def input_ids(self) -> Value: ...

    @property
    def token_type_ids(self) -> Value | None: ...

    @property
    def positions(self) -> Value: ...

    # Weights.

    def parameter(self, name: str) -> Value:
        """A parameter as an answer."""
        ...

    def lookup(self, table: str, rows: Value) -> Value:
        """Rows of a parameter, (n, hidden): by token, as `rows` is. Out of range is an error or undefined."""
        ...

    def row(self, table: str, index: int) -> Value:
        """One row of a parameter, (hidden,): broadcasts over tokens in `add`."""
        ...

    # Arithmetic on rows, by token or by text.

    def add(self, left: Value, right: Value) -> Value:
        """Their sum."""
        ...

    def linear(self, rows: Value, name: str, *, activation: str | None = None, bias: bool = True) -> Value:
        """rows @ `name.weight`.T + `name.bias`, then the activation. bias: True = there is one."""
        ...

    def linears(self, rows: Value, names: Sequence[str]) -> tuple[Value, ...]:
        """Several linear layers with biases of the same rows, which engines may join in one product."""
        ...

    def score(self, rows: Value, table: str, *, bias: str | None = None) -> Value:
        """rows @ table.T, plus the bias: a logit for each row of a parameter (vocabulary, hidden)."""
        ...

    def norm(self, rows: Value, name: str, *, eps: float) -> Value:
        """Layer norm over the last dimension with `name.weight` and `name.bias`."""
        ...

    def add_and_norm(self, rows: Value, residual: Value, name: str, *, eps: float) -> Value:
        """`norm` of the sum."""
        ...

    def activate(self, rows: Value, activation: str) -> Value:
        """An activation by its name in `spec.ACTIVATIONS`."""
        ...

    # What knows about texts.

    def attend(
        self,
        query: Value,
        key: Value,
        value: Value,
        *,
        heads: int,
        pattern: Literal["full", "causal"],
        radius: int,
        layer: int,
    ) -> Value:
        """Self-attention within each text: the context, by token, (..., hidden).

        query, key, value: by token, (..., hidden), heads side by side.
        pattern: "causal" = no token sees those to its right. Tokens that are not live are never seen; a token that sees
            none has a context of zeros.
        radius: 0 = softmax(q k / sqrt(d)) v. Else NEZHA's: with R[i, j] the row of `distances.relative_table` for the
            distance of the positions, clipped, softmax((q k + q R) / sqrt(d)) weighs v + R.
        layer: which block asks, from 0: for engines that keep keys and values.
        """
        ...

    def first_tokens(self, rows: Value) -> Value:
        """By token -> by text: the first live token of each text."""
        ...

    def last_tokens(self, rows: Value) -> Value:
        """By token -> by text: the last live token of each text.

        Padded texts without attention_mask end with their last token that is not Spec.pad_token_id, if they have one.
        """
        ...

    def restore(self, rows: Value, *, lowest: bool = False) -> Value:
        """By token -> answer, (*leading, length, ...); packed callers get packed rows.

        What is written where no live token is: zero, or with `lowest` the lowest finite value.
        """
        ...

    def by_text(self, values: Value) -> Value:
        """By text -> answer: (texts, ...) -> (*leading, ...)."""
        ...

    # Arithmetic on answers.

    def column(self, values: Value, index: int) -> Value:
        """values[..., index]."""
        ...

    def sum_texts(self, values: Value) -> Value:
        """(batch, texts, ...) -> (batch, ...): the sum over the second dimension."""
        ...

    def without_absent(self, logits: Value) -> Value:
        """(*leading,): the lowest finite value for texts without any live token (choices that are not there)."""
        ...
