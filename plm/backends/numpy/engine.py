"""The operations of programs on arrays: packed tokens, one matrix product for each linear layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from plm.backends.numpy.activations import activate
from plm.backends.numpy.attention import attend
from plm.backends.numpy.places import Places
from plm.backends.program.distances import relative_table

Array = np.ndarray[Any, np.dtype[Any]]


class Weights:
    """Parameters by name, of one floating dtype.

    Matrices that multiply the same input are joined when first asked for; their own names become views of the whole,
    so that nothing is held twice.
    """

    def __init__(self, arrays: Mapping[str, Array]) -> None:
        self._arrays = dict(arrays)
        self._joined: dict[tuple[str, ...], Array] = {}

    def __getitem__(self, name: str) -> Array:
        return self._arrays[name]

    def joined(self, names: Sequence[str]) -> Array:
        """Several parameters, one above the other."""
        key = tuple(names)
        if key not in self._joined:
            whole = np.concatenate([self._arrays[name] for name in key])
            ends = np.cumsum([len(self._arrays[name]) for name in key])
            self._arrays.update(zip(key, np.split(whole, ends[:-1]), strict=True))
            self._joined[key] = whole
        return self._joined[key]


@dataclass(frozen=True)
class NumpyOps:
    """The texts of one call, and what can be done with them; see plm.backends.program.ops.Ops.

    shape: of the caller's input_ids. input_ids, token_type_ids: (tokens,), packed as `places` says.
    """

    weights: Weights
    places: Places
    shape: tuple[int, ...]
    input_ids: Array
    token_type_ids: Array | None

    @property
    def leading(self) -> int:
        """See Ops."""
        return len(self.shape) - 1

    @property
    def positions(self) -> Array:
        """See Ops."""
        return self.places.positions

    def parameter(self, name: str) -> Array:
        """See Ops."""
        return self.weights[name].copy()

    def lookup(self, table: str, rows: Array) -> Array:
        """See Ops."""
        found: Array = self.weights[table][rows]
        return found

    def row(self, table: str, index: int) -> Array:
        """See Ops."""
        found: Array = self.weights[table][index]
        return found

    def add(self, left: Array, right: Array) -> Array:
        """See Ops."""
        total: Array = left + right
        return total

    def linear(self, rows: Array, name: str, *, activation: str | None = None, bias: bool = True) -> Array:
        """See Ops."""
        output: Array = rows @ self.weights[f"{name}.weight"].T
        if bias:
            output += self.weights[f"{name}.bias"]
        return output if activation is None else activate(output, activation)

    def linears(self, rows: Array, names: Sequence[str]) -> tuple[Array, ...]:
        """See Ops. The results are views of one product."""
        output = rows @ self.weights.joined([f"{name}.weight" for name in names]).T
        output += self.weights.joined([f"{name}.bias" for name in names])
        return tuple(np.split(output, len(names), axis=-1))

    def score(self, rows: Array, table: str, *, bias: str | None = None) -> Array:
        """See Ops."""
        output: Array = rows @ self.weights[table].T
        if bias is not None:
            output += self.weights[bias]
        return output

    def norm(self, rows: Array, name: str, *, eps: float) -> Array:
        """See Ops."""
        return self._norm_in_place(rows - rows.mean(-1, keepdims=True), name, eps)

    def add_and_norm(self, rows: Array, residual: Array, name: str, *, eps: float) -> Array:
        """See Ops."""
        total = rows + residual
        total -= total.mean(-1, keepdims=True)
        return self._norm_in_place(total, name, eps)

    def activate(self, rows: Array, activation: str) -> Array:
        """See Ops."""
        return activate(rows.copy(), activation)

    def attend(
        self,
        query: Array,
        key: Array,
        value: Array,
        *,
        heads: int,
        pattern: Literal["full", "causal"],
        radius: int,
        layer: int,
    ) -> Array:
        """See Ops."""
        context = np.empty(query.shape, query.dtype)
        size = query.shape[-1] // heads
        table = relative_table(radius, size).astype(query.dtype, copy=False) if radius else None
        for run in self.places.runs:
            rectangle = (run.texts, run.length, heads, size)
            q, k, v = (part[run.rows].reshape(rectangle).swapaxes(1, 2) for part in (query, key, value))
            seen = None if self.places.seen is None else self.places.seen[run.rows].reshape(run.texts, run.length)
            attended = attend(q, k, v, seen=seen, is_causal=pattern == "causal", table=table)
            context[run.rows] = attended.swapaxes(1, 2).reshape(-1, heads * size)
        return context

    def first_tokens(self, rows: Array) -> Array:
        """See Ops."""
        return rows[self.places.first]

    def last_tokens(self, rows: Array) -> Array:
        """See Ops."""
        return rows[self.places.last]

    def restore(self, rows: Array, *, lowest: bool = False) -> Array:
        """See Ops."""
        return self.places.restore(rows, self.shape, lowest=lowest)

    def by_text(self, values: Array) -> Array:
        """See Ops."""
        return values if self.leading < 2 else values.reshape(*self.shape[:-1], *values.shape[1:])

    def column(self, values: Array, index: int) -> Array:
        """See Ops."""
        return values[..., index]

    def sum_texts(self, values: Array) -> Array:
        """See Ops."""
        total: Array = values.sum(1)
        return total

    def without_absent(self, logits: Array) -> Array:
        """See Ops."""
        if self.places.live is None:
            return logits
        present = self.places.live.any(-1).reshape(logits.shape)
        return np.where(present, logits, np.finfo(logits.dtype).min)

    def _norm_in_place(self, centred: Array, name: str, eps: float) -> Array:
        variance = np.einsum("...i,...i->...", centred, centred)[..., None] / centred.shape[-1]
        centred /= np.sqrt(variance + centred.dtype.type(eps))
        centred *= self.weights[f"{name}.weight"]
        centred += self.weights[f"{name}.bias"]
        return centred
