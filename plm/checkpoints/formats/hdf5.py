"""HDF5 as h5py and Keras write it by default: superblock 0, groups as symbol tables, plain or chunked datasets.

A file is a graph of object headers. The header of a group points to a B-tree of symbol tables, whose names lie in a
local heap; the header of a dataset holds its shape, its type, how it is filtered and where its data are.
Anything newer or more general (superblocks 2 and 3, dense groups, external files, other filters) is refused by name.
Source: HDF5 File Format Specification, version 2.0 and 3.0 (docs.hdfgroup.org).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from plm.checkpoints.formats.binary import Cursor, FileBytes
from plm.checkpoints.formats.hdf5_data import DEFLATE, RESAVE, SHUFFLE, Dataset, leaves, read_values

SIGNATURE = b"\x89HDF\r\n\x1a\n"

_DEEPEST = 64
_MOST_STEPS = 2**18  # objects may be linked in circles, or a few of them in so many ways that no walk ends

# Header messages that are read; the others (attributes, times, fill values, ...) do not change what the data are.
_DATASPACE, _LINKS, _DATATYPE, _LINK, _EXTERNAL, _LAYOUT, _FILTERS = 0x01, 0x02, 0x03, 0x06, 0x07, 0x08, 0x0B
_CONTINUATION, _SYMBOL_TABLE = 0x10, 0x11

_FLOATS = {2: torch.float16, 4: torch.float32, 8: torch.float64}
_SIGNED = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_UNSIGNED = {1: torch.uint8, 2: torch.uint16, 4: torch.uint32, 8: torch.uint64}


@dataclass
class _Object:
    """What the messages of an object header say. None: there is no such message.

    dtype: None also for what is no number. symbol_table: B-tree and heap of a group.
    """

    shape: list[int] | None = None
    dtype: torch.dtype | None = None
    big_endian: bool = False
    layout: Cursor | None = None
    filters: list[int] = field(default_factory=list)
    symbol_table: tuple[int, int] | None = None


def read_datasets(file: FileBytes) -> Iterator[tuple[str, Tensor]]:
    """All numeric datasets, as (full path without the first "/", values), in the order of the symbol tables.

    Contiguous datasets share the mapped file. Datasets of texts, records and enumerations are left out.
    Raises CheckpointError for damage and for parts of HDF5 that are not understood.
    """
    yield from _walk(file, _root(file), "", iter(range(_MOST_STEPS)), depth=0)


def _root(file: FileBytes) -> int:
    """Check the superblock and return the address of the root group's header."""
    if file.data[:8] != SIGNATURE:
        raise file.error("not an HDF5 file")
    start = file.cursor(8)
    version = start.uint(1)
    if version > 1:
        raise file.error(f"HDF5 superblock version {version} (libver='latest')", advice=RESAVE)
    start.take(4)
    sizes = (start.uint(1), start.uint(1))
    if sizes != (8, 8):
        raise file.error(f"HDF5 addresses and lengths of {sizes} bytes instead of 8", advice=RESAVE)
    start.take(9 + 4 * version)
    if start.uint(8) != 0:
        raise file.error("an HDF5 file inside another file", advice=RESAVE)
    start.take(32)  # free space, end of file, driver; offset of the root's name
    return start.uint(8)


def _walk(
    file: FileBytes, header: int, path: str, budget: Iterator[int], *, depth: int
) -> Iterator[tuple[str, Tensor]]:
    """The datasets at and below an object. budget: one item for each message that may still be read."""
    if depth > _DEEPEST:
        raise file.error(f"{path:.80}: groups that contain each other, or are nested too deeply")
    found = _object(file, header, budget)
    if found.symbol_table is not None:
        tree, heap = found.symbol_table
        for name, child in _links(file, tree, _heap(file, heap)):
            yield from _walk(file, child, f"{path}/{name}" if path else name, budget, depth=depth + 1)
    elif found.shape is None or found.layout is None:
        raise file.error(f"{path or '/'}: neither a dataset nor a group of the old kind", advice=RESAVE)
    elif found.dtype is not None:
        dataset = Dataset(found.shape, found.dtype, found.big_endian, found.layout, found.filters)
        yield path, read_values(file, path, dataset)


def _object(file: FileBytes, address: int, budget: Iterator[int]) -> _Object:
    """Read a version 1 object header with its continuation blocks."""
    start = file.cursor(address, 16)
    if start.uint(1) != 1:
        raise file.error(f"the object header at byte {address} is not of version 1", advice=RESAVE)
    start.take(1)
    count = start.uint(2)
    start.take(4)
    blocks = [file.cursor(address + 16, start.uint(4))]
    found = _Object()
    for block in blocks:  # grows while it is read
        while block.remaining >= 8 and count > 0:
            if next(budget, None) is None:
                raise file.error(f"more than {_MOST_STEPS} header messages")
            kind, size, flags = block.uint(2), block.uint(2), block.uint(1)
            block.take(3)
            message = block.inner(size)
            count -= 1
            if kind == _CONTINUATION:
                blocks.append(file.cursor(message.uint(8), message.uint(8)))
            else:
                _read_message(file, found, kind, message, is_shared=bool(flags & 2))
    return found


def _read_message(file: FileBytes, found: _Object, kind: int, message: Cursor, *, is_shared: bool) -> None:
    if kind in (_LINKS, _LINK):
        raise file.error("groups of the new kind (track_order or libver='latest')", advice=RESAVE)
    if kind == _EXTERNAL:
        raise file.error("the data lie in other files", advice=RESAVE)
    if is_shared and kind in (_DATASPACE, _DATATYPE, _FILTERS):
        raise file.error("a named (committed) data type", advice=RESAVE)
    if kind == _DATASPACE:
        found.shape = _shape(message)
    elif kind == _DATATYPE:
        found.dtype, found.big_endian = _datatype(message)
    elif kind == _LAYOUT:
        found.layout = message
    elif kind == _FILTERS:
        found.filters = _filters(message)
    elif kind == _SYMBOL_TABLE:
        found.symbol_table = (message.uint(8), message.uint(8))


def _shape(message: Cursor) -> list[int]:
    version, rank = message.uint(1), message.uint(1)
    message.take({1: 6, 2: 2}.get(version, 0))
    if version not in (1, 2) or rank > 32:
        raise message.file.error(f"a dataspace of version {version} and {rank} dimensions", advice=RESAVE)
    return [message.uint(8) for _ in range(rank)]


def _datatype(message: Cursor) -> tuple[torch.dtype | None, bool]:
    """The element type and whether it is big-endian; None for what is no number."""
    kind, flags = message.uint(1) & 0x0F, message.uint(3)
    size = message.uint(4)
    integers = _SIGNED if flags & 8 else _UNSIGNED
    dtype = {0: integers, 1: _FLOATS}.get(kind, {}).get(size)
    if kind in (0, 1) and dtype is None:
        raise message.file.error(f"numbers of {size} bytes", advice=RESAVE)
    if kind == 1 and flags & 0x40:
        raise message.file.error("numbers in the byte order of the VAX", advice=RESAVE)
    return dtype, bool(flags & 1)


def _filters(message: Cursor) -> list[int]:
    """The numbers of the filters in the order in which the writer applied them."""
    version, count = message.uint(1), message.uint(1)
    message.take(6 if version == 1 else 0)
    numbers = []
    for _ in range(count):
        numbers.append(message.uint(2))
        has_name = version == 1 or numbers[-1] >= 256
        name_length = message.uint(2) if has_name else 0
        message.take(2)
        parameters = message.uint(2)
        message.take(name_length + 4 * parameters)
        if version == 1:
            message.take(4 * (parameters % 2))
    unknown = set(numbers) - {DEFLATE, SHUFFLE}
    if version not in (1, 2) or unknown:
        raise message.file.error(f"HDF5 filters {sorted(unknown)}; known are gzip and shuffle", advice=RESAVE)
    return numbers


def _heap(file: FileBytes, address: int) -> FileBytes:
    """The names of a group."""
    start = file.cursor(address, 32)
    if bytes(start.take(4)) != b"HEAP":
        raise file.error(f"no local heap at byte {address}")
    start.take(4)
    length = start.uint(8)
    start.take(8)
    return FileBytes(file.path, file.slice(start.uint(8), length))


def _links(file: FileBytes, tree: int, heap: FileBytes) -> Iterator[tuple[str, int]]:
    """Names and header addresses of the members of a group."""
    for address, _ in leaves(file, tree, kind=0, key_size=8):
        node = file.cursor(address, 8)
        if bytes(node.take(4)) != b"SNOD":
            raise file.error(f"no symbol table at byte {address}")
        node.take(2)
        entries = file.cursor(address + 8, 40 * node.uint(2))
        while entries.remaining:
            name, header, cache = entries.uint(8), entries.uint(8), entries.uint(4)
            entries.take(20)
            if cache == 2:
                raise file.error("a symbolic link in the HDF5 file", advice=RESAVE)
            yield _name(heap, name), header


def _name(heap: FileBytes, offset: int) -> str:
    text, end, _ = bytes(heap.data[offset : offset + 4096]).partition(b"\0")
    if not end or not text or b"/" in text:
        raise heap.error("a name in the HDF5 file is empty, too long or not ended")
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise heap.error("a name in the HDF5 file is not UTF-8") from error
