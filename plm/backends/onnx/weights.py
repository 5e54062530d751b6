"""The arrays that graphs name: each is kept once, whatever the number of graphs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

STEPS = 127
"""Steps of eight bits from zero to the largest weight of an output."""


class Weights:
    """What a model's graphs need of its parameters, in the form that they need it.

    read: name of a parameter -> float32. arrays: what has been asked for so far, by the name of the graph's edge.
    """

    def __init__(self, read: Callable[[str], Array]) -> None:
        self._read = read
        self.arrays: dict[str, Array] = {}

    def plain(self, name: str) -> str:
        """A parameter as it is."""
        if name not in self.arrays:
            self.arrays[name] = self._read(name)
        return name

    def shape(self, name: str) -> tuple[int, ...]:
        """That of a parameter."""
        held = self.arrays.get(name)
        return tuple((self._read(name) if held is None else held).shape)

    def eight_bits(self, name: str) -> tuple[str, str]:
        """A matrix (outputs, inputs) as int8 (inputs, outputs), and the steps of each output, float32 (outputs,).

        Rounded symmetrically, as plm.blocks.int8 does.
        """
        rounded, steps = f"{name}.int8", f"{name}.steps"
        if rounded not in self.arrays:
            weight = self._read(name)
            scale = np.maximum(np.abs(weight).max(axis=1), 1e-12).astype(np.float32) / np.float32(STEPS)
            self.arrays[steps] = scale
            self.arrays[rounded] = np.ascontiguousarray(
                np.clip(np.rint(weight / scale[:, None]), -STEPS, STEPS).astype(np.int8).T
            )
        return rounded, steps
