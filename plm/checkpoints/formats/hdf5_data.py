"""The values of an HDF5 dataset: in its header, in one piece, or in chunks that may be shuffled and deflated.

Source: HDF5 File Format Specification, "Data Layout Message", "Data Storage - Filter Pipeline", "Version 1 B-trees".
"""

from __future__ import annotations

import functools
import math
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from plm.checkpoints.formats.binary import Cursor, FileBytes

RESAVE = "write it again with h5py's default settings, or convert it to safetensors"

DEFLATE, SHUFFLE = 1, 2
"""The filters that are understood, by their registered numbers."""

_COST_OF_CHUNK = 1024  # a bound on how often a file may have its chunks visited
_NOWHERE = 2**64 - 1  # the address of what was never written


@dataclass
class Dataset:
    """What the header of a dataset says. layout: where the data are. filters: in the order of the writer."""

    shape: list[int]
    dtype: torch.dtype
    big_endian: bool
    layout: Cursor
    filters: list[int]


def read_values(file: FileBytes, path: str, found: Dataset) -> Tensor:
    """The values of a numeric dataset, shared with the mapped file where they lie there in one piece.

    path: its name, for messages. Raises CheckpointError for damage and for layouts that are not understood.
    """
    layout = found.layout
    version, kind = layout.uint(1), layout.uint(1)
    if version != 3 or kind > 2:
        raise file.error(f"{path}: data layout version {version}, class {kind}", advice=RESAVE)
    if kind == 2:
        return _chunked(file, path, found)
    if found.filters:
        raise file.error(f"{path}: filters without chunks")
    if kind == 0:
        data = layout.take(layout.uint(2))
    else:
        address, length = layout.uint(8), layout.uint(8)
        if address == _NOWHERE and file.elements(path, found.shape):
            raise file.error(f"{path}: the dataset was created but never written")
        data = file.slice(*((0, 0) if address == _NOWHERE else (address, length)))
    return file.tensor(path, data, found.dtype, found.shape, big_endian=found.big_endian)


def _chunked(file: FileBytes, path: str, found: Dataset) -> Tensor:
    """Put the chunks of a dataset together. Chunks are full size even where they stick out of the dataset."""
    shape, dtype, layout = found.shape, found.dtype, found.layout
    rank = layout.uint(1) - 1
    tree = layout.uint(8)
    chunk = [layout.uint(4) for _ in range(rank)]
    if rank != len(shape) or not rank or 0 in chunk or layout.uint(4) != dtype.itemsize:
        raise file.error(f"{path}: chunks {chunk} do not fit the shape {shape}")
    wanted = math.prod(-(-size // step) for size, step in zip(shape, chunk, strict=True))
    size = file.elements(path, chunk) * dtype.itemsize
    unfilter = functools.partial(_unfiltered, file, path, width=dtype.itemsize, size=size)
    pieces = dict(_chunks(file, tree, rank, found.filters, unfilter))
    is_grid = all(
        at % step == 0 and at < total for start in pieces for at, step, total in zip(start, chunk, shape, strict=True)
    )
    if len(pieces) != wanted or not is_grid:
        raise file.error(f"{path}: {len(pieces)} of {wanted} chunks are there")
    file.spend(file.elements(path, shape) * dtype.itemsize)
    out = torch.empty(shape, dtype=dtype)
    for start, data in pieces.items():
        values = file.tensor(path, data, dtype, chunk, big_endian=found.big_endian)
        here = [slice(at, min(at + step, total)) for at, step, total in zip(start, chunk, shape, strict=True)]
        out[tuple(here)] = values[tuple(slice(part.stop - part.start) for part in here)]
    return out


def _chunks(
    file: FileBytes, tree: int, rank: int, filters: list[int], unfilter: Callable[[int, memoryview], memoryview]
) -> Iterator[tuple[tuple[int, ...], memoryview]]:
    """Place and plain bytes of every chunk."""
    for address, key in leaves(file, tree, kind=1, key_size=8 * (rank + 2)):
        stored, skipped = key.uint(4), key.uint(4)
        start = tuple(key.uint(8) for _ in range(rank))
        data = file.slice(address, stored)
        file.spend(_COST_OF_CHUNK)
        for position, number in reversed(list(enumerate(filters))):
            if not skipped >> position & 1:
                data = unfilter(number, data)
        yield start, data


def _unfiltered(file: FileBytes, path: str, number: int, data: memoryview, *, width: int, size: int) -> memoryview:
    """Undo one filter. width: bytes of an element; size: bytes of a whole chunk."""
    file.spend(size)
    if number == SHUFFLE:
        if len(data) != size:
            raise file.error(f"{path}: a shuffled chunk has {len(data)} bytes instead of {size}")
        lanes = torch.frombuffer(data, dtype=torch.uint8).view(width, -1)  # all first bytes, all second bytes, ...
        return lanes.t().reshape(-1).numpy().data
    try:
        plain = zlib.decompressobj().decompress(data, size + 1)
    except zlib.error as error:
        raise file.error(f"{path}: a chunk cannot be inflated ({error})") from error
    if len(plain) != size:
        raise file.error(f"{path}: a chunk inflates to {len(plain)} bytes instead of {size}")
    return memoryview(bytearray(plain))


def leaves(file: FileBytes, root: int, *, kind: int, key_size: int) -> Iterator[tuple[int, Cursor]]:
    """Addresses at the bottom of a version 1 B-tree with the keys in front of them. Empty for a tree nowhere."""
    nodes = [] if root == _NOWHERE else [root]
    seen: set[int] = set()
    while nodes:
        address = nodes.pop()
        start = file.cursor(address, 24)
        if bytes(start.take(4)) != b"TREE" or start.uint(1) != kind or address in seen:
            raise file.error(f"no B-tree of the kind {kind} at byte {address}")
        seen.add(address)
        level, count = start.uint(1), start.uint(2)
        entries = file.cursor(address + 24, count * (key_size + 8))
        children = []
        for _ in range(count):
            key = entries.inner(key_size)
            children.append((entries.uint(8), key))
        if level:
            nodes += [child for child, _ in reversed(children)]
        else:
            yield from children
