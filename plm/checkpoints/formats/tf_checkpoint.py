"""TensorFlow 1 checkpoints (`PREFIX.index` and `PREFIX.data-00000-of-00001`), read and written without TensorFlow.

The index is a LevelDB table: under the empty key a BundleHeaderProto, under every tensor's name a BundleEntryProto
with type, shape, place in the data files and checksum. The data files are the raw tensors one after the other.
Sources: tensorflow/core/util/tensor_bundle/tensor_bundle.cc, core/protobuf/tensor_bundle.proto.
"""

from __future__ import annotations

import glob
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from plm.checkpoints.formats.binary import Cursor, FileBytes, last_bytes, raw_bytes
from plm.checkpoints.formats.format import Format, best_first
from plm.checkpoints.formats.leveldb_table import MAGIC, read_table, write_table
from plm.checkpoints.formats.protobuf import (
    bytes_field,
    fields,
    fixed32_field,
    inner,
    integer,
    integers,
    varint_field,
)
from plm.checkpoints.formats.replacing import replacing
from plm.crc32c import masked_crc32c
from plm.errors import CheckpointError

_DTYPES = {
    1: torch.float32,
    2: torch.float64,
    3: torch.int32,
    4: torch.uint8,
    5: torch.int16,
    6: torch.int8,
    9: torch.int64,
    10: torch.bool,
    14: torch.bfloat16,
    17: torch.uint16,
    19: torch.float16,
    22: torch.uint32,
    23: torch.uint64,
}
_NUMBERS = {dtype: number for number, dtype in _DTYPES.items()}
_STRING = 7  # TensorFlow's own bookkeeping, never a weight
_RELEASE = "bert_model.ckpt"  # the name in Google's and Huawei's releases
_RESAVE = "load it with TensorFlow and save it with tf.compat.v1.train.Saver"


@dataclass
class _Entry:
    """Where a tensor lies. shape: sizes; shard: number of the data file; offset, size: bytes; crc: masked."""

    dtype: int = 0
    shape: list[int] = field(default_factory=list)
    shard: int = 0
    offset: int = 0
    size: int = 0
    crc: int = 0
    has_slices: bool = False


def find(folder: Path) -> list[Path]:
    """Prefixes in a folder: `bert_model.ckpt`, then `model.ckpt-N` from the highest N down.

    The text file `checkpoint` is not looked at: it holds paths of the machine that wrote it.
    """
    prefixes = [folder / path.name.removesuffix(".index") for path in folder.glob("*.index")]
    found = [path for path in prefixes if accepts(path)] or [path for path in folder.glob("*.ckpt*") if _is_v1(path)]
    return best_first(found, usual=[path for path in found if path.name == _RELEASE], prefer_steps=True)


def accepts(path: Path) -> bool:
    """A prefix with an index that is a table or has data files beside it; also the files of the former V1 format."""
    prefix = _prefix(path)
    index = _index(prefix)
    if path.is_dir():
        return False
    return _is_v1(path) or (index.is_file() and (_is_table(index) or bool(_data_files(prefix))))


def read(path: Path, *, verify: bool = False) -> dict[str, Tensor]:
    """All tensors in the order of their names, mapped from the data files.

    path: the prefix, or one of the files.
    verify: True compares the checksum of every tensor (reads all data, about 1.5 GB/s); the index is always checked.
    String tensors are skipped. Raises CheckpointError for damage, for variables that were saved in slices, and for
    TensorFlow 2 object checkpoints.
    """
    prefix = _prefix(path)
    if _is_v1(path):
        raise CheckpointError(f"{path}: a TensorFlow checkpoint of the V1 format (before TensorFlow 0.12); {_RESAVE}")
    index = FileBytes.open(_index(prefix))
    shards: dict[int, FileBytes] = {}
    tensors: dict[str, Tensor] = {}
    table = read_table(index)
    shard_count = _header(index, table)
    for name, entry in _named_entries(index, table):
        if entry.dtype == _STRING:
            continue
        if not 0 <= entry.shard < shard_count:
            raise index.error(f"tensor {name!r} lies in data file {entry.shard} of {shard_count}")
        if entry.shard not in shards:
            shards[entry.shard] = FileBytes.open(_data_file(prefix, entry.shard, shard_count))
        tensors[name] = _tensor(shards[entry.shard], name, entry, verify=verify)
    return tensors


def write(folder: Path, tensors: Mapping[str, Tensor], *, name: str = _RELEASE) -> list[Path]:
    """Write a checkpoint of one data file that TensorFlow restores, byte for byte as TensorFlow 1.15 writes it.

    name: the prefix, without folder.
    Raises CheckpointError for dtypes that the format does not have and when the disk refuses.
    """
    entries = [(b"", varint_field(1, 1) + bytes_field(3, varint_field(1, 1)))]  # one shard, version 1
    offset = 0
    with replacing(folder) as new:
        with new.open(f"{name}.data-00000-of-00001") as file:
            for key, tensor in sorted((key.encode(), tensor) for key, tensor in tensors.items()):
                data = raw_bytes(tensor)
                entries.append((key, _encoded(key, tensor, offset=offset, crc=masked_crc32c(data))))
                file.write(data)
                offset += len(data)
        with new.open(f"{name}.index") as file:
            file.write(write_table(entries))
        return new.commit(stale=[f"{glob.escape(name)}.data-?????-of-?????"])


def _header(index: FileBytes, table: Iterator[tuple[bytes, Cursor]]) -> int:
    """Check the first entry and return the number of data files."""
    key, value = next(table, (None, None))
    if key != b"" or value is None:
        raise index.error("the header entry of a checkpoint is missing")
    numbers = {number: found for number, found in fields(value) if isinstance(found, int)}
    if numbers.get(2, 0) != 0:
        raise index.error("the data are big-endian", advice=_RESAVE)
    return numbers.get(1, 0)


def _named_entries(index: FileBytes, table: Iterator[tuple[bytes, Cursor]]) -> Iterator[tuple[str, _Entry]]:
    for key, value in table:
        entry = _entry(value)
        if entry.has_slices or key.startswith(b"\0"):
            raise index.error("a variable was saved in slices (by a partitioner)", advice=_RESAVE)
        try:
            name = key.decode()
        except UnicodeDecodeError as error:
            raise index.error(f"the name {key[:80]!r} is not UTF-8") from error
        if name.endswith("/.ATTRIBUTES/VARIABLE_VALUE"):
            raise index.error("a TensorFlow 2 object checkpoint, whose names are paths in a program", advice=_RESAVE)
        yield name, entry


def _entry(message: Cursor) -> _Entry:
    entry = _Entry()
    for number, value in fields(message):
        if number == 1:
            entry.dtype = integer(value, message)
        elif number == 2:
            entry.shape = _shape(inner(value, message))
        elif number == 3:
            entry.shard = integer(value, message)
        elif number == 4:
            entry.offset = integer(value, message)
        elif number == 5:
            entry.size = integer(value, message)
        elif number == 6:
            entry.crc = integer(value, message)
        elif number == 7:
            entry.has_slices = True
    return entry


def _shape(message: Cursor) -> list[int]:
    """TensorShapeProto {2: Dim {1: size}}."""
    shape = []
    for number, value in fields(message):
        if number == 2:
            dimension = inner(value, message)
            sizes = [size for key, found in fields(dimension) if key == 1 for size in integers(found)]
            shape.append(sizes[-1] if sizes else 0)
    return shape


def _tensor(data: FileBytes, name: str, entry: _Entry, *, verify: bool) -> Tensor:
    if entry.dtype not in _DTYPES:
        raise data.error(f"tensor {name!r} has the unknown TensorFlow type {entry.dtype}", advice=_RESAVE)
    content = data.slice(entry.offset, entry.size)
    if verify and masked_crc32c(content) != entry.crc:
        raise data.error(f"the checksum of tensor {name!r} is wrong")
    return data.tensor(name, content, _DTYPES[entry.dtype], entry.shape)


def _encoded(key: bytes, tensor: Tensor, *, offset: int, crc: int) -> bytes:
    if tensor.dtype not in _NUMBERS:
        raise CheckpointError(f"tensor {key.decode()!r}: TensorFlow checkpoints have no type for {tensor.dtype}")
    shape = b"".join(bytes_field(2, varint_field(1, size)) for size in tensor.shape)
    return (
        varint_field(1, _NUMBERS[tensor.dtype])
        + bytes_field(2, shape)
        + varint_field(4, offset)
        + varint_field(5, tensor.numel() * tensor.dtype.itemsize)
        + fixed32_field(6, crc)
    )


def _prefix(path: Path) -> Path:
    """The prefix that a path means: itself, or what is in front of `.index` or `.data-SSSSS-of-NNNNN`."""
    return path.with_name(path.name.removesuffix(".index").partition(".data-")[0])


def _index(prefix: Path) -> Path:
    return prefix.with_name(f"{prefix.name}.index")


def _data_file(prefix: Path, shard: int, count: int) -> Path:
    return prefix.with_name(f"{prefix.name}.data-{shard:05}-of-{count:05}")


def _data_files(prefix: Path) -> list[Path]:
    start = f"{prefix.name}.data-"
    return [path for path in prefix.parent.iterdir() if path.name.startswith(start)]


def _is_table(path: Path) -> bool:
    return last_bytes(path, len(MAGIC)) == MAGIC


def _is_v1(path: Path) -> bool:
    return path.suffix != ".index" and _is_table(path)


TF_CHECKPOINT = Format(
    name="tf_checkpoint",
    find=find,
    accepts=accepts,
    read=read,
    write=write,
    stale=(f"{_RELEASE}.data-?????-of-?????",),
    looks_for="bert_model.ckpt.index, model.ckpt-N.index, *.index with *.data-00000-of-00001",
)
