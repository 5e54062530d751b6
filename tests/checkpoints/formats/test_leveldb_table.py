"""Tables are written as TensorFlow does and read with every check."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plm.checkpoints.formats.binary import FileBytes
from plm.checkpoints.formats.leveldb_table import read_table, write_table
from plm.checkpoints.formats.protobuf import varint
from plm.crc32c import masked_crc32c
from plm.errors import CheckpointError


def entries(table: bytes) -> list[tuple[bytes, bytes]]:
    file = FileBytes(Path("table"), memoryview(bytearray(table)))
    return [(key, bytes(value.data)) for key, value in read_table(file)]


@settings(deadline=None, max_examples=40)
@given(st.dictionaries(st.binary(max_size=12), st.binary(max_size=12), min_size=1))
def test_what_is_written_is_read_back(values: dict[bytes, bytes]) -> None:
    assert entries(write_table(sorted(values.items()))) == sorted(values.items())


def test_a_large_table_has_several_blocks_and_is_read_back() -> None:
    values = [(f"variable_{i:05}".encode(), bytes(100)) for i in range(8000)]
    table = write_table(values)
    assert entries(table) == values


def test_a_flipped_bit_in_any_block_that_is_read_is_noticed() -> None:
    table = write_table([(b"a", b"1"), (b"b", b"2")])
    filters, size = table[-48], table[-47] + 5  # the first handle of the footer: a block that nobody needs
    for at in set(range(len(table) - 48)) - set(range(filters, filters + size)):
        damaged = bytearray(table)
        damaged[at] ^= 4
        with pytest.raises(CheckpointError, match="checksum"):
            entries(bytes(damaged))


def block(content: bytes, compression: int = 0) -> bytes:
    content += bytes([compression])
    return content + masked_crc32c(content).to_bytes(4, "little")


def table_of(data_block: bytes) -> bytes:
    """A table around one data block (with its trailer)."""
    handle = varint(0) + varint(len(data_block) - 5)
    index = block(varint(0) + varint(1) + varint(len(handle)) + b"z" + handle + b"\0\0\0\0\x01\0\0\0")
    footer = varint(0) + varint(0) + varint(len(data_block)) + varint(len(index) - 5)
    return data_block + index + footer.ljust(40, b"\0") + bytes.fromhex("57fb808b247547db")


def test_snappy_blocks_are_read() -> None:
    plain = b"\0\x01\x01a1\0\x01\x01b2\0\0\0\0\x01\0\0\0"
    packed = varint(len(plain)) + bytes([(len(plain) - 1) << 2]) + plain
    assert entries(table_of(block(packed, compression=1))) == [(b"a", b"1"), (b"b", b"2")]


@pytest.mark.parametrize(
    ("content", "compression", "reason"),
    [
        (b"\0\x01\x01a1\0\0\0\0\x01\0\0\0", 2, "unknown compression 2"),
        (b"\0\x01\x01b2\0\x01\x01a1\0\0\0\0\x01\0\0\0", 0, "out of order"),
        (b"\0\x01\x01a1\0\x01\x01a1\0\0\0\0\x01\0\0\0", 0, "out of order"),
        (b"\x05\x01\x01a1\0\0\0\0\x01\0\0\0", 0, "impossible length"),
        (b"\0\xff\x7f\x01a1\0\0\0\0\x01\0\0\0", 0, "impossible length"),
        (b"\0\x01\x09a1\0\0\0\0\x01\0\0\0", 0, "9 bytes are announced"),
        (b"\xff\xff\xff\xff", 0, "restart points"),
        (b"", 0, "restart points"),
    ],
)
def test_damaged_blocks_are_refused_with_the_reason(content: bytes, compression: int, reason: str) -> None:
    with pytest.raises(CheckpointError, match=reason):
        entries(table_of(block(content, compression)))


def test_a_table_without_footer_is_refused() -> None:
    table = write_table([(b"a", b"1")])
    for damaged in (table[:-1], table[:40], b"", table[:-48] + bytes(40) + table[-8:]):
        with pytest.raises(CheckpointError):
            entries(damaged)
