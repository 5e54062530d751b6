"""Flax's `flax_model.msgpack`: nested maps with arrays as MessagePack extensions.

An array is the extension 1 with [shape, name of the dtype, bytes]; a NumPy scalar is the extension 3 with the same.
Arrays above 1 GiB are a map of flat pieces. Source: flax/serialization.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from plm.checkpoints.formats.binary import DTYPES, FileBytes, first_bytes
from plm.checkpoints.formats.format import Format, best_first, existing
from plm.checkpoints.formats.msgpack import Extension, decode

NAME = "flax_model.msgpack"

_ARRAY, _SCALAR = 1, 3  # extension types; 2 is a complex number
_CHUNKED = "__msgpack_chunked_array__"


def find(folder: Path) -> list[Path]:
    """`flax_model.msgpack`, then other `*.msgpack`."""
    return best_first(folder.glob("*.msgpack"), usual=existing(folder, NAME))


def accepts(path: Path) -> bool:
    """A MessagePack map that is not empty and whose first key is text."""
    start = first_bytes(path, 6)
    lengths = {0xDE: 3, 0xDF: 5}  # bytes in front of the first key
    if not start or not (0x81 <= start[0] <= 0x8F or start[0] in lengths):
        return False
    key = start[lengths.get(start[0], 1) :][:1]
    return key != b"" and (0xA1 <= key[0] <= 0xBF or 0xD9 <= key[0] <= 0xDB)


def read(path: Path) -> dict[str, Tensor]:
    """All arrays and numbers in the order of the file, with the names of the maps joined by "/".

    Texts and None are left out. Raises CheckpointError for damage and for names that come twice.
    """
    file = FileBytes.open(path)
    tree = decode(file.cursor())
    if not isinstance(tree, dict):
        raise file.error("expected a map of names at the top")
    tensors: dict[str, Tensor] = {}
    for name, leaf in _leaves(file, tree, ""):
        tensor = _tensor(file, name, leaf)
        if name in tensors:
            raise file.error(f"the name {name!r} comes twice")
        if tensor is not None:
            tensors[name] = tensor
    return tensors


def _leaves(file: FileBytes, tree: dict[str | int, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, list):
            value = dict(enumerate(value))
        if isinstance(value, dict) and _CHUNKED not in value:
            yield from _leaves(file, value, f"{name}/")
        else:
            yield name, value


def _tensor(file: FileBytes, name: str, leaf: Any) -> Tensor | None:
    if isinstance(leaf, Extension):
        return _array(file, name, leaf)
    if isinstance(leaf, dict):
        return _joined(file, name, leaf)
    if isinstance(leaf, float):
        return torch.tensor(leaf, dtype=torch.float64)
    if isinstance(leaf, int) and -(2**63) <= leaf < 2**63:
        return torch.tensor(leaf)
    if leaf is None or isinstance(leaf, str):
        return None
    raise file.error(f"{name!r} is neither an array nor a number")


def _array(file: FileBytes, name: str, extension: Extension) -> Tensor:
    if extension.type not in (_ARRAY, _SCALAR):
        raise file.error(f"{name!r} has the extension type {extension.type}, which is no array")
    parts = decode(extension.content)
    if not isinstance(parts, list) or len(parts) != 3:
        raise file.error(f"the array {name!r} is not [shape, dtype, bytes]")
    shape, dtype, data = parts
    if not _is_shape(shape) or not isinstance(data, memoryview):
        raise file.error(f"the array {name!r} is not [shape, dtype, bytes]")
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise file.error(f"the array {name!r} has the unknown type {dtype!r:.40}")
    return file.tensor(name, data, DTYPES[dtype], shape)


def _joined(file: FileBytes, name: str, leaf: dict[str | int, Any]) -> Tensor:
    """{"shape": {"0": sizes...}, "chunks": {"0": flat arrays...}}: numbered maps stand for lists."""
    shape, chunks = _listed(leaf.get("shape")), _listed(leaf.get("chunks"))
    if not _is_shape(shape) or not chunks or not all(isinstance(chunk, Extension) for chunk in chunks):
        raise file.error(f"the pieces of {name!r} are not understood")
    pieces = [_array(file, name, chunk).reshape(-1) for chunk in chunks]
    if len({piece.dtype for piece in pieces}) != 1 or file.elements(name, shape) != sum(map(len, pieces)):
        raise file.error(f"the pieces of {name!r} do not make up its shape {tuple(shape)}")
    return torch.cat(pieces).reshape(tuple(shape))


def _listed(numbered: Any) -> list[Any]:
    if isinstance(numbered, dict):
        return [numbered[str(i)] for i in range(len(numbered)) if str(i) in numbered]
    return numbered if isinstance(numbered, list) else []


def _is_shape(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(size, int) for size in value)


FLAX_MSGPACK = Format(name="flax_msgpack", find=find, accepts=accepts, read=read, looks_for=f"{NAME}, *.msgpack")
