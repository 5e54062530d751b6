"""Checkpoints of PaddlePaddle 1.x (`fluid.io.save_persistables`, PALM, ERNIE 1): a folder with a file per parameter.

A file is a LoDTensor: version 0 (4 bytes), number of levels (8) and for each its size (8) and content, version 0 (4),
size of a TensorDesc (4), the TensorDesc {1 data type, 2 sizes}, and the raw data.
Source: paddle/fluid/framework/lod_tensor.cc and tensor_util.cc of PaddlePaddle 1.8.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from plm.checkpoints.formats.binary import FileBytes, first_bytes
from plm.checkpoints.formats.format import Format
from plm.checkpoints.formats.protobuf import fields, integer, integers
from plm.errors import CheckpointError

_SIGNS = ("word_embedding", "pos_embedding")  # parameters that every model of PALM and ERNIE has
_FOLDER = "params"
_OTHERS = {".json", ".md", ".npz", ".txt", ".yaml", ".yml"}  # suffixes of configs and vocabularies beside them

# VarType.Type of framework.proto
_DTYPES = {
    0: torch.bool,
    1: torch.int16,
    2: torch.int32,
    3: torch.int64,
    4: torch.float16,
    5: torch.float32,
    6: torch.float64,
    20: torch.uint8,
    21: torch.int8,
    22: torch.bfloat16,
}


def find(folder: Path) -> list[Path]:
    """The folder `params` in a folder, or the folder itself, when it has the embeddings of such a model."""
    return [place for place in (folder / _FOLDER, folder) if _has_signs(place)]


def accepts(path: Path) -> bool:
    """A folder whose `word_embedding` begins like a LoDTensor."""
    return path.is_dir() and bool(find(path))


def read(path: Path) -> dict[str, Tensor]:
    """All parameters in the order of their file names, variables of optimizers among them.

    Files of the program (`__model__`), hidden ones and text files are passed over; any other file must be a parameter.
    """
    places = find(path)
    if not places:
        raise CheckpointError(f"{path}: expected a folder with the files {' and '.join(_SIGNS)}")
    return {file.name: _read_parameter(file) for file in sorted(places[0].iterdir()) if _is_parameter(file)}


def _has_signs(folder: Path) -> bool:
    return all(first_bytes(folder / name, 4) == b"\0\0\0\0" for name in _SIGNS)


def _is_parameter(file: Path) -> bool:
    is_hidden = file.name.startswith((".", "__"))
    return file.is_file() and not is_hidden and file.suffix not in _OTHERS


def _read_parameter(path: Path) -> Tensor:
    file = FileBytes.open(path)
    cursor = file.cursor()
    versions = [cursor.uint(4)]
    for _ in range(min(cursor.uint(8), file.size)):
        cursor.take(cursor.uint(8))
    versions.append(cursor.uint(4))
    if versions != [0, 0]:
        raise file.error(f"not a LoDTensor of version 0 (versions {versions})")
    description = cursor.inner(cursor.uint(4))
    kind, shape = None, []
    for number, value in fields(description):
        if number == 1:
            kind = integer(value, description)
        elif number == 2:
            shape += integers(value)
    if kind not in _DTYPES:
        raise file.error(f"unknown Paddle data type {kind}")
    return file.tensor(path.name, cursor.take(cursor.remaining), _DTYPES[kind], shape)


PADDLE_FLUID = Format(
    name="paddle_fluid",
    find=find,
    accepts=accepts,
    read=read,
    looks_for=f"{_FOLDER}/ or the folder itself with {' and '.join(_SIGNS)}",
)
