"""A model that NumPy computes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from plm.backends.numpy.batch import open_batch
from plm.backends.numpy.engine import Weights
from plm.backends.program.heads import parameter_shapes, predict
from plm.backends.program.spec import Spec
from plm.backends.runner import Arrays
from plm.errors import CheckpointError, ShapeError

if TYPE_CHECKING:  # nothing here imports torch
    from plm.models.config import ModelConfig


class NumpyRunner:
    """Runs a model on ndarrays.

    spec: what it is. weights: all of its parameters (`parameter_shapes(spec)`), of one floating dtype.
    folder: where it comes from; None = nowhere, then it has no `config`.
    """

    takes_packed = True

    def __init__(self, spec: Spec, weights: Mapping[str, np.ndarray[Any, Any]], *, folder: Path | None = None) -> None:
        for name, shape in parameter_shapes(spec).items():
            if name not in weights or weights[name].shape != shape:
                found = weights[name].shape if name in weights else "nothing"
                raise ShapeError(f"{name}: expected an array of shape {shape}, got {found}")
        self.spec = spec
        self.folder = folder
        self._weights = Weights(weights)

    @cached_property
    def config(self) -> ModelConfig:
        """The config of the folder as PyTorch models have it. Only this imports torch: `spec` says the same without."""
        if self.folder is None:
            raise CheckpointError("this model was made from arrays: it has a spec, and no folder with a config")
        from plm.checkpoints.head_plans import one_head, wanted_heads
        from plm.checkpoints.store import open_checkpoint
        from plm.heads.several import settle

        checkpoint = open_checkpoint(self.folder)
        head = next((facts.name for facts in self.spec.heads), None)
        wanted = wanted_heads(
            one_head(head, checkpoint.plans), stored=checkpoint.plans, kinds=(), entry=checkpoint.entry
        )
        return settle(checkpoint.config, wanted.plans)[0]

    def run(self, batch: Mapping[str, np.ndarray[Any, Any]], *, head: str | None = None) -> Arrays:
        """See Runner.run. head: which of several heads answers; None = the first."""
        return predict(self.spec, open_batch(self.spec, self._weights, batch), head)
