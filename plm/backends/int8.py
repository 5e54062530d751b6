"""The `int8` backend: PyTorch with linear layers of eight bits, rounded at loading or read from an exported folder.

Both ways give the same numbers. Word embeddings stay float32; the copy of them that scores words has eight bits too.
Inputs of layers are rounded with one scale for all texts of a batch, so an answer depends a little on its neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from plm.backends.eager import TorchRunner, load_trained
from plm.blocks.int8 import Int8Linear, quantized
from plm.checkpoints.dtypes import as_dtype
from plm.checkpoints.exported import CONFIG_FILE, Exported, require_backend
from plm.checkpoints.formats.safetensors import NAME, non_finite
from plm.checkpoints.formats.safetensors import find as find_safetensors
from plm.checkpoints.formats.safetensors import read as read_safetensors
from plm.checkpoints.formats.safetensors import write as write_safetensors
from plm.checkpoints.store import read_config_file
from plm.errors import CheckpointError, ConfigError
from plm.heads.engine import ModelEngine
from plm.heads.model import Model, build_model
from plm.heads.preparing import for_decoding, with_own_tables
from plm.heads.several import Plans, settle
from plm.models.config import ModelConfig

BACKEND = "int8"
SCALE = ".weight_scale"
POOLER = "backbone.pooler."

DTYPES = ("auto", "float32", "int8")
"""Names that mean the same here: weights of eight bits, and float32 between them."""


def load_int8(folder: Path, head: str | None, dtype: str) -> TorchRunner:
    """A runner for a checkpoint of any known layout, or for what `write_int8` wrote, where dtype has no say.

    Raises CheckpointError when the head is not stored, ConfigError for a dtype other than float32 and int8,
    BackendUnavailable where torch has no kernels for eight bits.
    """
    return TorchRunner(load_int8_model(folder, head, dtype))


def load_int8_engine(folder: Path, dtype: str) -> ModelEngine:
    """The same for a causal language model that goes on with texts."""
    return ModelEngine(load_int8_model(folder, "causal_lm", dtype))


def load_int8_model(folder: Path, head: str | None, dtype: str) -> Model:
    """See load_int8; the model in evaluation mode."""
    entry = require_backend(folder, BACKEND)
    if entry is not None:
        return _read(folder, entry, head)
    if dtype not in DTYPES:
        raise ConfigError(f"dtype: the int8 backend computes in float32 between its layers, got {dtype!r}")
    return for_decoding(load_trained(folder, head, "float32"), int8=True)


def write_int8(model: Model, folder: Path, dtype: str) -> list[str]:
    """Write what `load_int8` reads: weights of eight bits with their scales, and the rest in `dtype`.

    Names are those of the model's own parameters: `X.weight` (int8) and `X.weight_scale` (float32).
    """
    state = for_decoding(model, int8=True).state_dict()
    rest = as_dtype(dtype)
    wide = {name for name, tensor in state.items() if tensor.is_floating_point() and not name.endswith(SCALE)}
    write_safetensors(folder, {name: tensor.to(rest) if name in wide else tensor for name, tensor in state.items()})
    return []


def _read(folder: Path, entry: Exported, head: str | None) -> Model:
    name = None if head is None else entry.name_of(head, folder=folder)
    config, plans = settle(read_config_file(folder), {} if name is None else {name: entry.plans[name]})
    stored = _tensors(folder)
    wanted = ("backbone.", f"heads.{name}.")
    tensors = {key: tensor for key, tensor in stored.items() if key.startswith(wanted)}
    pooler = any(key.startswith(POOLER) for key in tensors)
    _check_sizes(folder, tensors, config, plans, pooler=pooler)
    model = with_own_tables(build_model(config, plans, pooler=pooler))
    small = cast("Model", quantized(model, Int8Linear.like))
    try:
        small.load_state_dict(tensors, assign=True)
    except RuntimeError as error:
        raise CheckpointError(f"{folder}: {NAME} and {CONFIG_FILE} are not of one model: {error}") from error
    return small.eval().requires_grad_(False)


def _check_sizes(
    folder: Path, tensors: Mapping[str, Tensor], config: ModelConfig, plans: Plans, *, pooler: bool
) -> None:
    """Raise CheckpointError, before memory is asked for, where config.json speaks of another model than is stored."""
    advice = "they are not of one model; export it anew"
    blocks = {key.split(".")[2] for key in tensors if key.startswith("backbone.blocks.")}
    if len(blocks) != config.num_hidden_layers:
        raise CheckpointError(
            f"{folder}: {NAME} has {len(blocks)} blocks, {CONFIG_FILE} says {config.num_hidden_layers}: {advice}"
        )
    with torch.device("meta"):
        wanted = with_own_tables(build_model(config, plans, pooler=pooler)).state_dict()
    for name, tensor in wanted.items():
        found = tensors.get(name)
        if found is None or found.shape != tensor.shape:
            stored = "nothing" if found is None else tuple(found.shape)
            raise CheckpointError(
                f"{folder}: {name} is {stored} in {NAME}, {CONFIG_FILE} asks for {tuple(tensor.shape)}: {advice}"
            )
        if f"{name}_scale" in tensors and found.dtype != torch.int8:
            raise CheckpointError(f"{folder}: {name} is no int8 in {NAME}: the file is damaged; export it anew")


def _tensors(folder: Path) -> dict[str, Tensor]:
    """All tensors, mapped where they are as they have to be. Raises CheckpointError naming what is damaged."""
    found = find_safetensors(folder)
    if not found:
        raise CheckpointError(f"{folder}: {NAME} is missing")
    stored = read_safetensors(found[0])
    damaged = non_finite(found[0])
    if damaged:
        raise CheckpointError(f"{folder}: NaN or infinity in {', '.join(damaged[:3])}: the file is damaged")
    return {name: tensor if tensor.dtype == torch.int8 else tensor.float() for name, tensor in stored.items()}
