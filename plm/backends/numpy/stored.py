"""Safetensors files as arrays, mapped: one file, or shards and their index. bfloat16, which NumPy lacks, is widened."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from plm.config import read_json
from plm.errors import CheckpointError, ConfigError

Array = np.ndarray[Any, np.dtype[Any]]

NAME = "model.safetensors"
INDEX = f"{NAME}.index.json"

_BFLOAT16 = "BF16"
_DTYPES: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
    "F16": np.dtype("<f2"),
    _BFLOAT16: np.dtype("<u2"),
}


@dataclass(frozen=True)
class Entry:
    """One tensor of a file. dtype: as safetensors calls it. start: byte in the file."""

    file: Path
    dtype: str
    shape: tuple[int, ...]
    start: int


class Stored(Mapping[str, Entry]):
    """The tensors of a checkpoint by name. Nothing is read before `array` asks for it."""

    def __init__(self, entries: Mapping[str, Entry], *, source: Path) -> None:
        """source: the file or index, for messages."""
        self.source = source
        self._entries = dict(entries)
        self._files: dict[Path, Array] = {}

    @classmethod
    def open(cls, folder: Path) -> Stored:
        """The tensors of `model.safetensors`, or of the shards that its index lists.

        Raises CheckpointError for damaged files, for an index that names anything but files beside it, and for a folder
        without either.
        """
        if (folder / NAME).is_file():
            return cls(_read_header(folder / NAME), source=folder / NAME)
        if not (folder / INDEX).is_file():
            raise CheckpointError(
                f"{folder}: has no {NAME} and no {INDEX}, and the numpy backend reads nothing else: convert it first "
                f"(plm convert {folder} DESTINATION)"
            )
        index, promised = folder / INDEX, _weight_map(folder / INDEX)
        entries: dict[str, Entry] = {}
        for shard in sorted(set(promised.values())):
            held = _read_header(folder / shard)
            strange = [name for name in held if promised.get(name) != shard]
            if strange:
                raise CheckpointError(f"{folder / shard}: holds {strange[0]!r}, which {index.name} does not list there")
            entries |= held
        missing = [name for name in promised if name not in entries]
        if missing:
            raise CheckpointError(
                f"{folder / promised[missing[0]]}: lacks {missing[0]!r}, which {index.name} promises; fetch both again"
            )
        return cls(entries, source=index)

    def array(self, name: str, dtype: np.dtype[Any]) -> Array:
        """A tensor in a floating dtype; read-only and mapped where it is stored so.

        Raises CheckpointError for a tensor of integers, and for NaN and infinity.
        """
        entry = self._entries[name]
        if entry.dtype not in _DTYPES:
            raise CheckpointError(
                f"{entry.file}: {name!r} is stored as {entry.dtype}, expected one of {', '.join(_DTYPES)}"
            )
        stored, count = _DTYPES[entry.dtype], math.prod(entry.shape)
        held = self._mapped(entry.file)[entry.start : entry.start + count * stored.itemsize].view(stored)
        if entry.dtype == _BFLOAT16:
            held = (held.astype(np.uint32) << 16).view(np.float32)
        array = np.require(held.astype(dtype, copy=False), requirements="A").reshape(entry.shape)
        if not _is_finite(array):
            raise CheckpointError(
                f"{entry.file}: NaN or infinity in {name!r}: the file is damaged or its training diverged"
            )
        return array

    def _mapped(self, file: Path) -> Array:
        """The bytes of a file."""
        if file not in self._files:
            self._files[file] = np.memmap(file, np.uint8, mode="r")
        return self._files[file]

    def __getitem__(self, name: str) -> Entry:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def _read_header(file: Path) -> dict[str, Entry]:
    """The tensors that a file says it has. The library checks that they fit into the file and do not overlap."""
    try:
        with safe_open(file, framework="numpy") as checked, file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            header = json.loads(opened.read(length))
            return {
                name: Entry(
                    file,
                    header[name]["dtype"],
                    tuple(header[name]["shape"]),
                    8 + length + header[name]["data_offsets"][0],
                )
                for name in checked.keys()  # noqa: SIM118  (no mapping)
            }
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{file}: not a valid safetensors file ({error}); fetch it again") from error


def _weight_map(index: Path) -> dict[str, str]:
    """Tensor -> file, after checking that every file is a plain name: nothing outside of the folder is ever opened."""
    try:
        promised = read_json(index).get("weight_map")
    except ConfigError as error:
        raise CheckpointError(str(error)) from error
    if not isinstance(promised, dict) or not promised:
        raise CheckpointError(f"{index}: expected an object 'weight_map' from tensor names to file names")
    for name, shard in promised.items():
        plain = isinstance(shard, str) and shard.isprintable() and not set(shard) & set('/\\:*?"<>|')
        if not plain or shard in ("", ".", ".."):
            raise CheckpointError(
                f"{index}: the tensor {name!r} is said to be in {shard!r:.200}; only plain names of files beside the "
                "index are allowed"
            )
    return promised


def _is_finite(array: Array) -> bool:
    """A finite sum proves it, at the cost of reading once; an infinite one may be an overflow of finite numbers."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(array.sum())) or bool(np.isfinite(array).all())
