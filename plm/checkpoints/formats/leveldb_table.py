"""The sorted table of LevelDB, in which TensorFlow keeps the index of a checkpoint.

A table is a row of blocks and a footer. A block holds entries in the order of their keys, each key stored as the
part it shares with the one before and the rest; behind it stand one byte for the compression and a masked CRC-32C.
The last block but the footer lists the data blocks.
Sources: LevelDB doc/table_format.md, TensorFlow core/lib/io/table_builder.cc and format.cc.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from plm.checkpoints.formats.binary import Cursor, FileBytes
from plm.checkpoints.formats.protobuf import varint
from plm.checkpoints.formats.snappy import decompress
from plm.crc32c import masked_crc32c

MAGIC = (0xDB47_7524_8B80_FB57).to_bytes(8, "little")
"""The last eight bytes of every table."""

_FOOTER = 48
_TRAILER = 5  # compression, checksum
_LONGEST_KEY = 4096  # keys that share all of their predecessor could otherwise grow with the square of the file size
_BLOCK_SIZE = 2**18  # TensorFlow starts a new block when one has grown this large
_RESTART_EVERY = 16  # entries after which a key is written in full


def read_table(table: FileBytes) -> Iterator[tuple[bytes, Cursor]]:
    """All keys and values in ascending order of the keys. Raises CheckpointError when the table is damaged."""
    if table.size < _FOOTER or table.data[-8:] != MAGIC:
        raise table.error("the footer of a LevelDB table is missing at its end")
    footer = table.cursor(table.size - _FOOTER)
    _handle(footer)  # of the filter index, which TensorFlow leaves empty
    last = None
    for _, handle in _entries(_block(table, *_handle(footer))):
        for key, value in _entries(_block(table, *_handle(handle))):
            if last is not None and key <= last:
                raise table.error(f"the key {key!r} is out of order")
            yield key, value
            last = key


def write_table(entries: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A table, not compressed, laid out as TensorFlow does. entries: keys and values, keys strictly ascending."""
    out = bytearray()
    data_blocks: list[tuple[bytes, bytes]] = []
    block, last = _BlockWriter(), b""
    for key, value in entries:
        if len(block.data) + 4 * len(block.restarts) >= _BLOCK_SIZE:
            data_blocks.append((last, _append(out, block)))
            block = _BlockWriter()
        block.add(key, value)
        last = key
    data_blocks.append((_successor(last), _append(out, block)))
    filters = _append(out, _BlockWriter())
    index = _BlockWriter(restart_every=1)
    for key, handle in data_blocks:
        index.add(key, handle)
    footer = filters + _append(out, index)
    return bytes(out) + footer.ljust(_FOOTER - len(MAGIC), b"\0") + MAGIC


def _handle(cursor: Cursor) -> tuple[int, int]:
    """Offset and size of a block."""
    return cursor.varint(), cursor.varint()


def _block(table: FileBytes, offset: int, size: int) -> Cursor:
    """The entries of one block, checked and decompressed."""
    whole = table.slice(offset, size + _TRAILER)
    trailer = table.cursor(offset + size, _TRAILER)
    compression, checksum = trailer.uint(1), trailer.uint(4)
    if masked_crc32c(whole[: size + 1]) != checksum:
        raise table.error(f"the checksum of the block at byte {offset} is wrong")
    if compression > 1:
        raise table.error(f"unknown compression {compression} of the block at byte {offset}")
    data = decompress(table.cursor(offset, size)) if compression else whole[:size]
    restarts = int.from_bytes(data[-4:], "little")
    stop = len(data) - 4 * (restarts + 1)
    if len(data) < 4 or stop < 0:
        raise table.error(f"the block at byte {offset} has no room for its restart points")
    return Cursor(table, data[:stop])


def _entries(block: Cursor) -> Iterator[tuple[bytes, Cursor]]:
    key = b""
    while block.remaining:
        shared, rest, length = block.varint(), block.varint(), block.varint()
        if shared > len(key) or shared + rest > _LONGEST_KEY:
            raise block.file.error(f"a key after {key[:80]!r} has an impossible length")
        key = key[:shared] + bytes(block.take(rest))
        yield key, block.inner(length)


class _BlockWriter:
    """One block under construction."""

    def __init__(self, *, restart_every: int = _RESTART_EVERY) -> None:
        self.data = bytearray()
        self.restarts = [0]
        self._every = restart_every
        self._count = 0
        self._last = b""

    def add(self, key: bytes, value: bytes) -> None:
        shared = 0
        if self._count and self._count % self._every == 0:
            self.restarts.append(len(self.data))
        elif self._count:
            shared = _common_prefix(self._last, key)
        self.data += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        self._last = key
        self._count += 1

    def finish(self) -> bytes:
        words = [*self.restarts, len(self.restarts)]
        return bytes(self.data) + b"".join(word.to_bytes(4, "little") for word in words)


def _append(out: bytearray, block: _BlockWriter) -> bytes:
    """Add a block to the file and return its handle."""
    content = block.finish() + b"\0"
    handle = varint(len(out)) + varint(len(content) - 1)
    out += content + masked_crc32c(content).to_bytes(4, "little")
    return handle


def _common_prefix(first: bytes, second: bytes) -> int:
    pairs = zip(first, second, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(first), len(second)))


def _successor(key: bytes) -> bytes:
    """A short key that is not below `key`."""
    for i, byte in enumerate(key):
        if byte != 0xFF:
            return key[:i] + bytes([byte + 1])
    return key
