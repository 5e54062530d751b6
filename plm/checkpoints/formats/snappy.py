"""Decompression of Snappy blocks, which very old TensorFlow versions could write into an index.

Source: github.com/google/snappy format_description.txt.
"""

from __future__ import annotations

from plm.checkpoints.formats.binary import Cursor

_MOST_EXPANSION = 22  # the densest element makes 64 bytes out of 3


def decompress(block: Cursor) -> memoryview:
    """The plain bytes of a raw Snappy block. Raises CheckpointError when it is damaged."""
    length = block.varint()
    if length > _MOST_EXPANSION * block.remaining:
        raise block.file.error(f"a Snappy block of {block.remaining} bytes cannot hold {length}")
    out = bytearray()
    while block.remaining:
        tag = block.uint(1)
        if tag & 3 == 0:
            out += block.take(_literal_length(block, tag >> 2))
        else:
            _copy(block, tag, out)
        if len(out) > length:
            break
    if len(out) != length:
        raise block.file.error(f"a Snappy block gives {len(out)} bytes where {length} are announced")
    return memoryview(out)


def _literal_length(block: Cursor, code: int) -> int:
    return 1 + (code if code < 60 else block.uint(code - 59))


def _copy(block: Cursor, tag: int, out: bytearray) -> None:
    """Append bytes that were seen before; source and result may overlap."""
    if tag & 3 == 1:
        length, offset = 4 + (tag >> 2 & 7), (tag >> 5) << 8 | block.uint(1)
    else:
        length, offset = 1 + (tag >> 2), block.uint(2 if tag & 3 == 2 else 4)
    if not 0 < offset <= len(out):
        raise block.file.error("a Snappy block refers to bytes before its start")
    pattern = bytes(out[-offset:][:length])
    out += (pattern * (length // len(pattern) + 1))[:length]
