"""OpenAI's GPT-1 release: `params_shapes.json` and the flat parameters in `params_0.npy` to `params_9.npy`.

The files are one long array cut into pieces, which says nothing about names: position i of params_shapes.json does.
Source: train.py of github.com/openai/finetune-transformer-lm.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from plm.checkpoints.formats.binary import FileBytes, raw_bytes
from plm.checkpoints.formats.format import Format
from plm.checkpoints.formats.npy import npy_header, read_npy
from plm.checkpoints.formats.replacing import replacing
from plm.errors import CheckpointError

_SHAPES = "params_shapes.json"
_SHARDS = 10
_STALE = ("params_[0-9]*.npy",)
_EMBEDDINGS = ("positions", "words")
_LAYER = (
    "attn/c_attn/w",
    "attn/c_attn/b",
    "attn/c_proj/w",
    "attn/c_proj/b",
    "ln_1/g",
    "ln_1/b",
    "mlp/c_fc/w",
    "mlp/c_fc/b",
    "mlp/c_proj/w",
    "mlp/c_proj/b",
    "ln_2/g",
    "ln_2/b",
)


def find(folder: Path) -> list[Path]:
    """The folder itself when it holds `params_shapes.json`."""
    return [folder] if (folder / _SHAPES).is_file() else []


def accepts(path: Path) -> bool:
    """A folder with `params_shapes.json` and `params_0.npy`, or that JSON file."""
    folder = path.parent if path.name == _SHAPES else path
    return bool(find(folder)) and _shard(folder, 0).is_file()


def read(path: Path) -> dict[str, Tensor]:
    """The parameters in their order: "positions", "words", then "h0/attn/c_attn/w" and so on.

    A parameter inside one file shares its mapped pages; the few that are cut are copied.
    Raises CheckpointError when shapes and files do not fit.
    """
    folder = path.parent if path.name == _SHAPES else path
    shapes = _read_shapes(folder / _SHAPES)
    shards = _read_shards(folder)
    bounds = [0, *itertools.accumulate(len(shard) for shard in shards)]
    wanted = sum(math.prod(shape) for shape in shapes)
    if bounds[-1] != wanted:
        raise CheckpointError(
            f"{folder}: the {len(shards)} params_*.npy hold {bounds[-1]} numbers, {_SHAPES} needs {wanted}; "
            "fetch all files again"
        )
    tensors: dict[str, Tensor] = {}
    start = 0
    for name, shape in zip(_names(len(shapes)), shapes, strict=True):
        stop = start + math.prod(shape)
        parts = [
            shard[max(start - low, 0) : stop - low]
            for shard, (low, high) in zip(shards, itertools.pairwise(bounds), strict=True)
            if low < stop and start < high
        ]
        tensors[name] = (parts[0] if len(parts) == 1 else torch.cat(parts)).reshape(shape)
        start = stop
    return tensors


def write(folder: Path, tensors: Mapping[str, Tensor]) -> list[Path]:
    """Write ten files of float32 and their shapes, cut as the release is.

    tensors: all parameters under the names that `read` gives, in any order, of a dtype that float32 holds exactly.
    Raises CheckpointError naming what is missing or not expected.
    """
    names = _names(len(tensors))
    if set(names) != set(tensors):
        missing, unexpected = sorted(set(names) - set(tensors)), sorted(set(tensors) - set(names))
        raise CheckpointError(f"{folder}: not the parameters of a GPT-1; missing {missing}, not expected {unexpected}")
    ordered = [_as_float32(name, tensors[name]) for name in names]
    flat = torch.cat([tensor.reshape(-1) for tensor in ordered])
    pieces = flat.tensor_split(_SHARDS)  # the same cuts as numpy.array_split
    with replacing(folder) as new:
        for number, piece in enumerate(pieces):
            with new.open(_shard(folder, number).name) as file:
                file.write(npy_header(piece))
                file.write(raw_bytes(piece))
        with new.open(_SHAPES) as file:
            file.write(json.dumps([list(tensor.shape) for tensor in ordered]).encode())
        return new.commit(stale=_STALE)


def _names(count: int) -> list[str]:
    """The names of `count` parameters in order. Raises CheckpointError when no number of layers has as many."""
    layers, rest = divmod(count - len(_EMBEDDINGS), len(_LAYER))
    if rest or layers < 1:
        raise CheckpointError(f"{count} parameters are not a GPT-1: expected 2 embeddings and 12 for each layer")
    return [*_EMBEDDINGS, *(f"h{layer}/{part}" for layer in range(layers) for part in _LAYER)]


def _read_shapes(path: Path) -> list[list[int]]:
    file = FileBytes.open(path)
    try:
        shapes = json.loads(bytes(file.data))
    except (ValueError, RecursionError) as error:
        raise file.error(f"not JSON ({error!s:.100})") from error
    if not isinstance(shapes, list) or not all(_is_shape(shape) for shape in shapes):
        raise file.error("expected a list of shapes, each a list of positive integers")
    try:
        _names(len(shapes))
    except CheckpointError as error:
        raise file.error(str(error)) from error
    return shapes


def _is_shape(shape: object) -> bool:
    return isinstance(shape, list) and all(type(size) is int and 0 < size < 2**40 for size in shape) and len(shape) < 8


def _read_shards(folder: Path) -> list[Tensor]:
    """params_0.npy, params_1.npy, ... as long as there are any, each flat."""
    shards = []
    for number in itertools.count():
        path = _shard(folder, number)
        if not path.is_file():
            break
        file = FileBytes.open(path)
        shard = read_npy(file, path.name, file.data)
        if shard.dtype != torch.float32:
            raise file.error(f"expected float32, found {shard.dtype}")
        shards.append(shard.reshape(-1))
    if not shards:
        raise CheckpointError(f"{_shard(folder, 0)}: no such file; the parameters of {_SHAPES} are missing")
    return shards


def _as_float32(name: str, tensor: Tensor) -> Tensor:
    if tensor.dtype not in (torch.float32, torch.float16, torch.bfloat16):
        raise CheckpointError(f"tensor {name!r}: {tensor.dtype} does not fit into this format's float32; convert it")
    return tensor.detach().cpu().float()


def _shard(folder: Path, number: int) -> Path:
    return folder / f"params_{number}.npy"


OPENAI_NPY = Format(
    name="openai_npy",
    find=find,
    accepts=accepts,
    read=read,
    write=write,
    stale=_STALE,
    looks_for=f"{_SHAPES} with params_0.npy, params_1.npy, ...",
)
