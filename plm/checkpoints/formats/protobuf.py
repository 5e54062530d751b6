"""The wire format of Protocol Buffers: just enough to read and write three small messages without the library.

Source: protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Iterator

from plm.checkpoints.formats.binary import Cursor

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


def fields(message: Cursor) -> Iterator[tuple[int, int | Cursor]]:
    """The fields of a message in order: (number, value); a cursor for length-delimited ones, an integer for others.

    Raises CheckpointError for what is no protobuf.
    """
    while message.remaining:
        key = message.varint()
        number, wire = key >> 3, key & 7
        if number == 0:
            raise message.file.error("protobuf field 0 does not exist")
        yield number, _value(message, wire)


def integer(value: int | Cursor, message: Cursor) -> int:
    """The value of an integer field. Raises CheckpointError when it is not one."""
    if isinstance(value, Cursor):
        raise message.file.error("a protobuf field holds bytes where a number is expected")
    return value


def inner(value: int | Cursor, message: Cursor) -> Cursor:
    """The content of a length-delimited field. Raises CheckpointError when it is a number."""
    if not isinstance(value, Cursor):
        raise message.file.error("a protobuf field holds a number where bytes are expected")
    return value


def integers(value: int | Cursor) -> list[int]:
    """The values of a repeated integer field, written one by one or packed."""
    if not isinstance(value, Cursor):
        return [value]
    values = []
    while value.remaining:
        values.append(value.varint())
    return values


def varint(value: int) -> bytes:
    """`value` in 7 bits a byte, lowest first."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def varint_field(number: int, value: int) -> bytes:
    """An integer field; nothing for 0, the default that protobuf 3 leaves out."""
    return varint(number << 3 | VARINT) + varint(value) if value else b""


def bytes_field(number: int, value: bytes) -> bytes:
    """A length-delimited field, also when empty."""
    return varint(number << 3 | BYTES) + varint(len(value)) + value


def fixed32_field(number: int, value: int) -> bytes:
    """A field of four bytes."""
    return varint(number << 3 | FIXED32) + value.to_bytes(4, "little")


def _value(message: Cursor, wire: int) -> int | Cursor:
    if wire == VARINT:
        return message.varint()
    if wire == BYTES:
        return message.inner(message.varint())
    if wire == FIXED32:
        return message.uint(4)
    if wire == FIXED64:
        return message.uint(8)
    raise message.file.error(f"unknown protobuf wire type {wire}")
