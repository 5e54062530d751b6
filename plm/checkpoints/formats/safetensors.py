"""The safetensors format, single files and shards: what plm reads first and writes by default."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from plm.checkpoints.formats import finite
from plm.checkpoints.formats.binary import DAMAGED, first_bytes, raw_bytes
from plm.checkpoints.formats.format import Format, existing
from plm.checkpoints.formats.replacing import replacing
from plm.checkpoints.formats.shards import INDEX_SUFFIX, index_text, read_shards, shard_files, split
from plm.errors import CheckpointError

NAME = "model.safetensors"
MAX_SHARD_SIZE = 5 * 2**30
STALE = (NAME, NAME + INDEX_SUFFIX, "model-?????-of-?????.safetensors")

# In the order in which the library ranks them; files hold the highest rank first, so that all data are aligned.
_DTYPES = {
    torch.bool: "BOOL",
    torch.uint8: "U8",
    torch.int8: "I8",
    torch.float8_e5m2: "F8_E5M2",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.int16: "I16",
    torch.uint16: "U16",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int32: "I32",
    torch.uint32: "U32",
    torch.float32: "F32",
    torch.float64: "F64",
    torch.int64: "I64",
    torch.uint64: "U64",
}


def find(folder: Path) -> list[Path]:
    """`model.safetensors`, then its index. Variants (`model.fp16.safetensors`) are read when named."""
    return existing(folder, NAME, NAME + INDEX_SUFFIX)


def accepts(path: Path) -> bool:
    """A header length below 4 GiB and the brace of a JSON object, or an index of `.safetensors` files."""
    if path.name.endswith(".safetensors" + INDEX_SUFFIX):
        return path.is_file()
    start = first_bytes(path, 9)
    return start[4:] == b"\0\0\0\0{"


def read(path: Path) -> dict[str, Tensor]:
    """All tensors, in the order of the file, sharing its mapped pages. path: a file or an index."""
    if path.name.endswith(INDEX_SUFFIX):
        return read_shards(path, _read_file)
    return _read_file(path)


def write(folder: Path, tensors: Mapping[str, Tensor], *, max_shard_size: int = MAX_SHARD_SIZE) -> list[Path]:
    """Write `model.safetensors`, or shards of at most `max_shard_size` bytes and their index.

    Tensors that share memory are written under each of their names.
    Files of an earlier save in another number of shards are deleted once the new ones are in place.
    """
    shards = split(tensors, name=NAME, max_size=max_shard_size)
    with replacing(folder) as new:
        for name, shard in shards.items():
            with new.open(name) as file:
                _write_file(file, shard)
        if len(shards) > 1:
            with new.open(NAME + INDEX_SUFFIX) as file:
                file.write(index_text(shards).encode())
        return new.commit(stale=STALE)


def non_finite(path: Path) -> list[str]:
    """Names of tensors that hold NaN or infinity, by reading through the files once. path: a file or an index."""
    files = shard_files(path) if path.name.endswith(INDEX_SUFFIX) else [path]
    return [name for file in files for name in finite.non_finite(file)]


def _read_file(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file")
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.offset_keys()}
    except (SafetensorError, OSError, RuntimeError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{path}: not a valid safetensors file ({error}); {DAMAGED}") from error


def _write_file(file: BinaryIO, tensors: Mapping[str, Tensor]) -> None:
    """One file, byte for byte as the library writes it, but one tensor in memory at a time.

    The library wants every tensor contiguous and unshared at once, which costs a second copy of a model whose
    matrices were transposed on their way here.
    """
    order = sorted(tensors, key=lambda name: (-_rank(name, tensors[name]), name))
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name in order:
        tensor = tensors[name]
        stop = offset + tensor.numel() * tensor.dtype.itemsize
        header[name] = {"dtype": _DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [offset, stop]}
        offset = stop
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little") + text)
    for name in order:
        file.write(raw_bytes(tensors[name]))


def _rank(name: str, tensor: Tensor) -> int:
    if tensor.dtype not in _DTYPES:
        raise CheckpointError(f"tensor {name!r}: safetensors has no name for {tensor.dtype}; convert it first")
    return list(_DTYPES).index(tensor.dtype)


SAFETENSORS = Format(
    name="safetensors",
    find=find,
    accepts=accepts,
    read=read,
    write=write,
    stale=STALE,
    non_finite=non_finite,
    looks_for=f"{NAME}, {NAME}{INDEX_SUFFIX}",
)
