"""Inner values of a model by exact name, without flags or hooks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from torch import Tensor

from plm.errors import UnknownNameError, did_you_mean


class Tapped(Protocol):
    """A model that can name what may be tapped."""

    def tap_names(self) -> tuple[str, ...]:
        """All names, in the order of computation."""
        ...


class Tap(Mapping[str, Tensor]):
    """Collects the values of the given names during one forward pass.

    Names are `embeddings` (after norm and dropout) and, for block N: `blocks.N.scores` (batch, heads, query, key),
    scaled, before mask and softmax; `blocks.N.probabilities`, after softmax, before dropout; `blocks.N.output`. Scores
    follow from `blocks.N.query` and `blocks.N.key`, (batch, length, heads, head size), by the `scores` of the kernel;
    these cost little, as attention then need not be computed step by step.
    Values keep their gradients. Each pass replaces those of the pass before.

    >>> tap = Tap(model, "blocks.3.scores")            # doctest: +SKIP
    >>> model(**batch, tap=tap); tap["blocks.3.scores"]  # doctest: +SKIP

    Raises UnknownNameError at once, with the nearest name, for a name that the model does not have.
    """

    def __init__(self, model: Tapped, *names: str) -> None:
        known = model.tap_names()
        for name in names:
            if name not in known:
                raise UnknownNameError(
                    f"nothing to tap at {name!r}{did_you_mean(name, known)} (known: {', '.join(known[:4])}, ... "
                    f"{known[-1]})"
                )
        self.names = frozenset(names)
        self._values: dict[str, Tensor] = {}

    def wants(self, *names: str) -> bool:
        """True when at least one of the names is asked for."""
        return not self.names.isdisjoint(names)

    def put(self, name: str, value: Tensor) -> None:
        """Keep a value if its name is asked for (called by the model)."""
        if name in self.names:
            self._values[name] = value

    @property
    def wants_attention(self) -> bool:
        """True when scores or probabilities are asked for: attention must then be computed step by step."""
        return any(name.endswith((".scores", ".probabilities")) for name in self.names)

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.names:
            raise UnknownNameError(f"{name!r} was not asked for{did_you_mean(name, self.names)}")
        if name not in self._values:
            raise UnknownNameError(f"{name!r} holds no value yet: pass the tap to a forward pass, model(..., tap=tap)")
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)
