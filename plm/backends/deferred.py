"""Functions that are named by their place, so that a table of them costs no imports."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Deferred:
    """A function that is imported when it is first called.

    place: "module:function".
    """

    place: str

    def __call__(self, *arguments: Any) -> Any:
        """What the function returns."""
        module, _, name = self.place.partition(":")
        return getattr(importlib.import_module(module), name)(*arguments)
