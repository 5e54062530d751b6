"""MessagePack, as far as Flax uses it.

Source: github.com/msgpack/msgpack/blob/master/spec.md.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from plm.checkpoints.formats.binary import Cursor

_DEEPEST = 64
_MOST_VALUES = 2**17  # an array takes some ten; a byte of MessagePack can ask for some sixty bytes of memory
_FLOATS = {0xCA: struct.Struct(">f"), 0xCB: struct.Struct(">d")}


@dataclass(frozen=True)
class Extension:
    """A value of an application's own type: its number and content."""

    type: int
    content: Cursor


def decode(data: Cursor) -> Any:
    """One value: None, bool, int, float, str, memoryview, list, dict with text or integer keys, or Extension.

    Raises CheckpointError for damage, bytes left over, nesting deeper than 64 and more than 131,072 values.
    """
    value = _Decoder(data).value(depth=0)
    if data.remaining:
        raise data.file.error(f"{data.remaining} bytes are left over behind the data")
    return value


class _Decoder:
    def __init__(self, data: Cursor) -> None:
        self.data = data
        self.values = 0

    def value(self, *, depth: int) -> Any:
        self.values += 1
        if depth > _DEEPEST or self.values > _MOST_VALUES:
            raise self.data.file.error("nested too deeply or too many values for a checkpoint")
        code = self.data.uint(1)
        if code < 0x80:
            return code
        if code < 0x90:
            return self.map(code & 0x0F, depth)
        if code < 0xA0:
            return self.array(code & 0x0F, depth)
        if code < 0xC0:
            return self.data.text(code & 0x1F)
        if code >= 0xE0:
            return code - 0x100
        return self.long_form(code, depth)

    def long_form(self, code: int, depth: int) -> Any:
        """Codes 0xc0 to 0xdf: constants, and values whose length or number follows in 1, 2, 4 or 8 bytes."""
        if code in (0xC0, 0xC2, 0xC3):
            return {0xC0: None, 0xC2: False, 0xC3: True}[code]
        if code in _FLOATS:
            layout = _FLOATS[code]
            return layout.unpack(self.data.take(layout.size))[0]
        if 0xC4 <= code <= 0xC6:
            return self.data.take(self.big_endian(1 << code - 0xC4))
        if 0xC7 <= code <= 0xC9:
            return self.extension(self.big_endian(1 << code - 0xC7))
        if 0xCC <= code <= 0xCF:
            return self.big_endian(1 << code - 0xCC)
        if 0xD0 <= code <= 0xD3:
            return self.big_endian(1 << code - 0xD0, signed=True)
        if 0xD4 <= code <= 0xD8:
            return self.extension(1 << code - 0xD4)
        if 0xD9 <= code <= 0xDB:
            return self.data.text(self.big_endian(1 << code - 0xD9))
        if 0xDC <= code <= 0xDD:
            return self.array(self.big_endian(2 << code - 0xDC), depth)
        if 0xDE <= code <= 0xDF:
            return self.map(self.big_endian(2 << code - 0xDE), depth)
        raise self.data.file.error(f"the MessagePack code {code:#04x} does not exist")

    def big_endian(self, width: int, *, signed: bool = False) -> int:
        return int.from_bytes(self.data.take(width), "big", signed=signed)

    def extension(self, length: int) -> Extension:
        return Extension(self.big_endian(1, signed=True), self.data.inner(length))

    def array(self, length: int, depth: int) -> list[Any]:
        return [self.value(depth=depth + 1) for _ in range(length)]

    def map(self, length: int, depth: int) -> dict[str | int, Any]:
        values: dict[str | int, Any] = {}
        for _ in range(length):
            key = self.value(depth=depth + 1)
            if not isinstance(key, str | int) or key in values:
                raise self.data.file.error(f"a key of a map is no name or comes twice: {key!r:.80}")
            values[key] = self.value(depth=depth + 1)
        return values
