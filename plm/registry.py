"""Named values that anybody may add to: families, heads, formats, layouts, backends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

from plm.errors import ConfigError, UnknownNameError, did_you_mean

Value = TypeVar("Value")


class Registry(Generic[Value]):
    """A dictionary that refuses duplicates and explains misses.

    kind: what is registered, in the singular, for messages ("model family").

    >>> colours = Registry[int]("colour")
    >>> colours.add("red", 1)
    1
    >>> colours.get("red")
    1
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._values: dict[str, Value] = {}

    def add(self, name: str, value: Value) -> Value:
        """Register `value` and return it. Raises ConfigError when the name is taken."""
        if name in self._values:
            raise ConfigError(f"{self.kind} {name!r} is registered already; remove it first or take another name")
        self._values[name] = value
        return value

    def remove(self, name: str) -> Value:
        """Take a value out again. Raises UnknownNameError when it is not there."""
        self.get(name)
        return self._values.pop(name)

    def get(self, name: str) -> Value:
        """The value of `name`. Raises UnknownNameError listing the known names."""
        try:
            return self._values[name]
        except (KeyError, TypeError):
            known = ", ".join(repr(key) for key in self.names()) or "none yet"
            hint = did_you_mean(name, self._values) if isinstance(name, str) else ""
            raise UnknownNameError(f"unknown {self.kind} {name!r}{hint} (known: {known})") from None

    def names(self) -> list[str]:
        """Registered names in the order of registration."""
        return list(self._values)

    def items(self) -> list[tuple[str, Value]]:
        """Names and values in the order of registration."""
        return list(self._values.items())

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)
