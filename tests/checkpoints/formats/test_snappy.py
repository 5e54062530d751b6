"""Snappy blocks are decompressed, and damaged ones refused before anything large is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from plm.checkpoints.formats.binary import FileBytes
from plm.checkpoints.formats.protobuf import varint
from plm.checkpoints.formats.snappy import decompress
from plm.errors import CheckpointError

PLAIN = b"bert/encoder/layer_0/kernel bert/encoder/layer_1/kernel " * 6 + b"a" * 33 + bytes(range(70)) + b"xyz" * 100
# made from PLAIN by the library snappy (cramjam 2.11)
PACKED = bytes.fromhex(
    "e3056c626572742f656e636f6465722f6c617965725f302f6b65726e656c204a1c0000316a1c00fe3800fe3800fe3800fe3800053800617e01"
    "00f049000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435"
    "363738393a3b3c3d3e3f40414243444578797a78fe0300fe0300fe0300fe03009e0300"
)


def unpacked(block: bytes) -> bytes:
    return bytes(decompress(FileBytes(Path("block"), memoryview(bytearray(block))).cursor()))


def test_a_block_of_the_library_gives_its_text() -> None:
    assert unpacked(PACKED) == PLAIN


def test_long_literals_and_far_copies_are_understood() -> None:
    literal = bytes(range(256)) * 2
    block = varint(520) + b"\xf4" + (511).to_bytes(2, "little") + literal + b"\x1f" + (512).to_bytes(4, "little")
    assert unpacked(block) == literal + literal[:8]


@pytest.mark.parametrize(
    "block",
    [
        varint(2**40) + b"\x00a",  # a length that the block cannot hold
        varint(4) + b"\x00a",  # too little
        varint(1) + b"\x04ab",  # too much
        varint(4) + b"\x00a\x01\x05",  # a copy from before the start
        varint(4) + b"\x00a\x01\x00",  # a copy of itself
        varint(4) + b"\x10a",  # a literal that is cut
    ],
)
def test_damaged_blocks_are_refused(block: bytes) -> None:
    with pytest.raises(CheckpointError, match="block"):
        unpacked(block)
