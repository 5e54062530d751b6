"""Keys and values of tokens already seen, so that each new token is computed once."""

from __future__ import annotations

from torch import Tensor

from plm.errors import ShapeError


class KeyValueCache:
    """Preallocated keys and values for every block of one model.

    capacity: tokens that fit. `length` counts those of finished forward passes; a pass writes behind them and
    `advance` makes them count, so a pass that fails leaves the cache as it was.
    """

    def __init__(self, *, layers: int, capacity: int) -> None:
        self.capacity = capacity
        self.length = 0
        self._store: list[tuple[Tensor, Tensor] | None] = [None] * layers

    def update(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Add the keys and values of new tokens to a layer.

        key, value: (batch, heads, new tokens, head size). Returns all keys and values so far, (batch, heads,
        length + new, head size), as views. Raises ShapeError when the cache is full or the batch size changed.
        """
        batch, heads, new, head_size = key.shape
        end = self.length + new
        if end > self.capacity:
            raise ShapeError(f"the cache holds {self.capacity} tokens, {end} are needed: make it with more capacity")
        store = self._store[layer]
        if store is None or not self.length:  # what an empty cache holds is left from a pass that failed
            shape = (batch, heads, self.capacity, head_size)
            store = self._store[layer] = (key.new_zeros(shape), value.new_zeros(shape))
        keys, values = store
        if keys.shape[0] != batch:
            raise ShapeError(f"the cache holds {keys.shape[0]} rows, got {batch}: use `select` to change the rows")
        keys[:, :, self.length : end] = key
        values[:, :, self.length : end] = value
        return keys[:, :, :end], values[:, :, :end]

    def advance(self, new: int) -> None:
        """Count `new` tokens, written by `update` in every layer, as seen."""
        self.length += new

    def select(self, rows: Tensor) -> None:
        """Keep the given rows of the batch in the given order (beam search). rows: (new batch,), int64."""
        self._store = [
            None if store is None else (store[0].index_select(0, rows), store[1].index_select(0, rows))
            for store in self._store
        ]

    def truncate(self, length: int) -> None:
        """Forget all but the first `length` tokens."""
        if not 0 <= length <= self.length:
            raise ShapeError(f"cannot truncate a cache of {self.length} tokens to {length}")
        self.length = length

    def memory(self) -> int:
        """Bytes held."""
        return sum(tensor.numel() * tensor.element_size() for store in self._store if store for tensor in store)
