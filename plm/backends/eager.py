"""The `torch` backend: PyTorch, operator by operator, with prepacked weights on CPUs that have them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from plm.backends.batch import Inputs
from plm.backends.runner import Arrays
from plm.blocks.kernel_cache import bound_kernels
from plm.blocks.layout import Packed
from plm.blocks.linear import pack
from plm.checkpoints.dtypes import as_dtype
from plm.checkpoints.head_plans import one_head
from plm.checkpoints.loading import fill_model
from plm.checkpoints.store import open_checkpoint
from plm.errors import CheckpointError
from plm.heads.engine import ModelEngine
from plm.heads.model import Model
from plm.heads.preparing import for_decoding


class TorchRunner:
    """Runs a Model that nobody trains any more.

    model: put into evaluation mode; its Linear layers keep a second copy of their weights in the kernels' layout.
        Of several heads the first one answers.
    """

    takes_packed = True

    def __init__(self, model: Model) -> None:
        self.model = model.eval()
        self.config = model.config
        self._inputs = Inputs.of(model.config, takes_more=True)
        bound_kernels()
        pack(model)

    def run(self, batch: Mapping[str, np.ndarray[Any, Any]]) -> Arrays:
        """See Runner.run, and Inputs.checked for errors. bfloat16 results come back as float32, which NumPy has."""
        batch, device = self._inputs.checked(batch), self.model.device
        arguments: dict[str, Any] = {
            name: torch.tensor(array, device=device) for name, array in batch.items() if name != "lengths"
        }
        if "lengths" in batch:
            arguments["layout"] = Packed.from_lengths(
                batch["lengths"].tolist(), pattern=self.config.attention_pattern, device=device
            )
        with torch.inference_mode():
            output = self.model(**arguments)
        return {name: output[name].detach().float().cpu().numpy() for name in output}  # a CRF gives its parameters


def load_torch(folder: Path, head: str | None, dtype: str) -> TorchRunner:
    """A runner for a checkpoint of any known layout; see load_trained."""
    return TorchRunner(load_trained(folder, head, dtype))


def load_torch_engine(folder: Path, dtype: str) -> ModelEngine:
    """What goes on with texts; errors as of load_trained, and ConfigError for a model that sees what comes after."""
    return ModelEngine(for_decoding(load_trained(folder, "causal_lm", dtype)))


def load_trained(folder: Path, head: str | None, dtype: str) -> Model:
    """The model of a checkpoint of any known layout, with one head or none.

    head: its kind, or its name where the checkpoint has several; in the model it has the name of its kind.
    Raises CheckpointError when the head is not stored: its answers would be random.
    """
    weights = as_dtype(dtype)
    checkpoint = open_checkpoint(folder)
    wanted = one_head(head, checkpoint.plans)
    model, report = fill_model(checkpoint, heads=wanted, dtype=weights, device="cpu")
    random = [*report.missing, *report.mismatched]
    if random:
        raise CheckpointError(
            f"{report.source}: has no trained {head}, its answers would be random ({', '.join(random[:3])} would be "
            "initialised); fine-tune it first, or name a checkpoint that was"
        )
    return model if head is None else model.with_head(head)
