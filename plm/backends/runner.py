"""What a backend is: NumPy arrays in, NumPy arrays out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from plm.models.config import ModelConfig
from plm.registry import Registry

Arrays = dict[str, np.ndarray[Any, Any]]


class Runner(Protocol):
    """A model ready to predict.

    config: its config. takes_packed: True = `run` also takes packed texts.
    """

    config: ModelConfig
    takes_packed: bool

    def run(self, batch: Mapping[str, np.ndarray[Any, Any]]) -> Arrays:
        """Predict one batch.

        Padded: input_ids, (batch, length), and attention_mask, token_type_ids alike. Packed: input_ids, (tokens,),
        token_type_ids alike, and lengths, (texts,), tokens of each text. All int64.
        Returns the fields of the head's output by name; those by token are packed when the input is.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Backend:
    """One row of BACKENDS.

    load: (folder, head or None for the backbone alone, dtype name) -> runner.
    """

    load: Callable[[Path, str | None, str], Runner]


BACKENDS: Registry[Backend] = Registry("backend")
