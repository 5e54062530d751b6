"""Tensors that are spread over processes, in files: each process writes its part, any number of them read it.

    shards/shard-00001-model-00001-of-00001.safetensors    what the first process held
    shards/shard-00002-model-00001-of-00001.safetensors    what the second one held
    shards/shapes.json                                     by name: type and shape of the whole tensor

Written and read by torch.distributed.checkpoint, in its format that holds nothing but tensors and their places.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Shard, empty

from plm.config import read_json, write_json

SHAPES = "shapes.json"


def write_shards(folder: Path, tensors: Mapping[str, DTensor], *, is_main: bool) -> None:
    """Write the parts of all processes into a new folder; all of them call this together. Raises OSError in all."""
    writer = HuggingFaceStorageWriter(str(folder), save_distributed=True)
    _as_os_error(lambda: save(dict(tensors), storage_writer=writer))
    if is_main:
        shapes = {name: [str(each.dtype).removeprefix("torch."), *each.shape] for name, each in tensors.items()}
        write_json(folder / SHAPES, shapes)


def read_shards(folder: Path, mesh: DeviceMesh | None) -> dict[str, Tensor]:
    """The tensors, spread over the processes of a mesh, which call this together; None = whole, on the CPU.

    Raises OSError in all of them when something is missing.
    """
    shapes = read_json(folder / SHAPES)
    tensors = {name: _room(getattr(torch, dtype), shape, mesh) for name, (dtype, *shape) in shapes.items()}
    reader = HuggingFaceStorageReader(str(folder))
    _as_os_error(lambda: load(tensors, storage_reader=reader, no_dist=mesh is None))
    return tensors


def _room(dtype: torch.dtype, shape: list[int], mesh: DeviceMesh | None) -> Tensor:
    if mesh is None:
        return torch.empty(shape, dtype=dtype)
    return empty(*shape, dtype=dtype, device_mesh=mesh, placements=[Shard(0)])


def _as_os_error(work: Callable[[], object]) -> None:
    """A failure of one process reaches all of them, as an exception that is not even an Exception."""
    try:
        work()
    except CheckpointException as error:
        rank, (failure, _) = next(iter(error.failures.items()))
        raise OSError(f"process {rank}: {failure}") from error
