"""What a backend is: NumPy arrays in, NumPy arrays out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from plm.registry import Registry

if TYPE_CHECKING:  # the backend that needs no torch shall import none
    from plm.heads.engine import CausalEngine
    from plm.models.config import ModelConfig

Arrays = dict[str, np.ndarray[Any, Any]]


class Runner(Protocol):
    """A model ready to predict.

    takes_packed: True = `run` also takes packed texts.
    """

    takes_packed: bool

    @property
    def config(self) -> ModelConfig:
        """That of the model."""
        ...

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
    causal: (folder, dtype name) -> an engine that goes on with texts; None = this backend has none.
    """

    load: Callable[[Path, str | None, str], Runner]
    causal: Callable[[Path, str], CausalEngine] | None = None


BACKENDS: Registry[Backend] = Registry("backend")
