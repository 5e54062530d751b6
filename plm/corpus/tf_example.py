"""The message `tf.train.Example`, read and written without TensorFlow: named lists of integers, floats or bytes.

    Example  { Features features = 1 }
    Features { map<string, Feature> feature = 1 }        an entry of a map is a message: key = 1, value = 2
    Feature  { one of BytesList = 1, FloatList = 2, Int64List = 3 }, each { repeated value = 1 }

Sources: tensorflow/core/example/{example,feature}.proto, protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plm.errors import DataError

BYTES, FLOATS, INTEGERS = 1, 2, 3
"""Kinds of lists."""

_NAMES = {BYTES: "bytes", FLOATS: "floats", INTEGERS: "integers"}
_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5  # wire types
_SINGLE = {FLOATS: _FIXED32, INTEGERS: _VARINT}  # of a value that is not packed with the others
_LONGEST_VARINT = 10


@dataclass(slots=True)
class RawList:
    """The values of one feature, not decoded yet.

    kind: BYTES, FLOATS or INTEGERS; 0 = the message does not say, and there are no values.
    pieces: of integers and floats the encoded values, in one or more pieces; of bytes each value.
    """

    kind: int
    pieces: list[bytes]

    def require(self, kind: int) -> None:
        """Raises DataError when the values are of another kind."""
        if self.kind != kind:
            raise DataError(f"expected {_NAMES[kind]}, got {_NAMES.get(self.kind, 'no values')}")

    def raw(self) -> bytes:
        """The pieces in one."""
        return self.pieces[0] if len(self.pieces) == 1 else b"".join(self.pieces)


def read_lists(message: bytes) -> dict[str, RawList]:
    """The features of an Example in the order of the message. Of two with the same name the later one counts.

    Fields that Examples do not have are passed over, as protobuf demands. Raises DataError naming the byte of the
    message where it is no Example.
    """
    lists: dict[str, RawList] = {}
    for start, end in _inner(message, 0, len(message), 1):
        for first, last in _inner(message, start, end, 1):
            name = b""
            found = RawList(0, [])
            for number, wire, begin, stop in _fields(message, first, last):
                if number == 1 and wire == _DELIMITED:
                    name = message[begin:stop]
                elif number == 2 and wire == _DELIMITED:
                    _read_feature(message, begin, stop, found)
            try:
                lists[name.decode()] = found
            except UnicodeDecodeError as error:
                raise DataError(f"byte {first} of the message: the name of a feature is not UTF-8") from error
    return lists


def decode_example(message: bytes) -> dict[str, NDArray[Any]]:
    """The features of an Example: arrays (values,) of int64, of float32, or of bytes objects (dtype object).

    Raises DataError as read_lists does, and naming the feature whose values are damaged.
    """
    decoded: dict[str, NDArray[Any]] = {}
    for name, found in read_lists(message).items():
        try:
            if found.kind == INTEGERS:
                decoded[name] = decode_integers(found.raw())
            elif found.kind == FLOATS:
                decoded[name] = decode_floats(found.raw())
            else:
                decoded[name] = np.empty(len(found.pieces), dtype=object)
                decoded[name][:] = found.pieces
        except DataError as error:
            raise DataError(f"feature {name!r}: {error}") from error
    return decoded


def encode_example(features: Mapping[str, NDArray[Any]]) -> bytes:
    """The message of some features, in the order of the mapping, as TensorFlow writes it.

    features: arrays of one dimension: integers and truth values, floats (as float32), or bytes objects (dtype object).
    Raises DataError for anything else.
    """
    entries = []
    for name, values in features.items():
        kind, content = _encoded_list(name, np.asarray(values))
        feature = _delimited(kind, content)
        entries.append(_delimited(1, _delimited(1, name.encode()) + _delimited(2, feature)))
    return _delimited(1, b"".join(entries)) if entries else b""


def decode_integers(raw: bytes) -> NDArray[np.int64]:
    """(values,) from varints, one after the other. Raises DataError when the last one is cut off, or one too long."""
    if raw.isascii():  # only values up to 127, such as masks and segments
        return np.frombuffer(raw, dtype=np.uint8).astype(np.int64)
    data = np.frombuffer(raw, dtype=np.uint8)
    if data[-1] >= 0x80:
        raise DataError("the last integer is cut off")
    ends = np.flatnonzero(data < 0x80) + 1
    starts = np.zeros_like(ends)
    starts[1:] = ends[:-1]
    sizes = ends - starts
    longest = int(sizes.max())
    if longest > _LONGEST_VARINT:
        raise DataError(f"an integer of {longest} bytes, more than 64 bits need")
    septets = (data & np.uint8(0x7F)).astype(np.uint64)
    septets <<= ((np.arange(len(data)) - starts.repeat(sizes)) * 7).astype(np.uint64)
    return np.bitwise_or.reduceat(septets, starts).view(np.int64)


def decode_floats(raw: bytes) -> NDArray[np.float32]:
    """(values,), four bytes each. Raises DataError for a rest."""
    if len(raw) % 4:
        raise DataError(f"floats take 4 bytes each, got {len(raw)} bytes")
    return np.frombuffer(raw, dtype="<f4").astype(np.float32)


def _read_feature(message: bytes, start: int, end: int, found: RawList) -> None:
    """Take up what a Feature holds. Lists of one kind join, another kind replaces them: the rules of protobuf."""
    for kind, wire, begin, stop in _fields(message, start, end):
        if kind not in _NAMES or wire != _DELIMITED:
            continue
        if kind != found.kind:
            found.kind, found.pieces = kind, []
        for number, form, first, last in _fields(message, begin, stop):
            if number != 1:
                continue
            if form not in (_DELIMITED, _SINGLE.get(kind)):
                raise DataError(f"byte {first} of the message: a list of {_NAMES[kind]} with wire type {form}")
            found.pieces.append(message[first:last])


def _inner(message: bytes, start: int, end: int, wanted: int) -> Iterator[tuple[int, int]]:
    """Where the contents of a delimited field lie."""
    for number, wire, first, last in _fields(message, start, end):
        if number == wanted and wire == _DELIMITED:
            yield first, last


def _fields(message: bytes, place: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """(number, wire type, start and end of the content) of each field in [place, end)."""
    while place < end:
        begin = place
        key = message[place]  # nearly always one byte, and then quicker without a call
        place += 1
        if key >= 0x80:
            key, place = _varint(message, begin, end)
        wire = key & 7
        if wire == _DELIMITED and place < end and message[place] < 0x80:
            size = message[place]
            place += 1
        elif wire == _DELIMITED:
            size, place = _varint(message, place, end)
        elif wire == _VARINT:
            size = _varint(message, place, end)[1] - place
        elif wire in (_FIXED32, _FIXED64):
            size = 4 if wire == _FIXED32 else 8
        else:
            raise DataError(f"byte {begin} of the message: unknown wire type {wire}")
        if key < 8:
            raise DataError(f"byte {begin} of the message: a field with number 0")
        if size > end - place:
            raise DataError(f"byte {begin} of the message: a field of {size} bytes where {end - place} are left")
        yield key >> 3, wire, place, place + size
        place += size


def _varint(message: bytes, place: int, end: int) -> tuple[int, int]:
    """A number and the place behind it."""
    value = shift = 0
    for here in range(place, min(end, place + _LONGEST_VARINT)):
        byte = message[here]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, here + 1
        shift += 7
    raise DataError(f"byte {place} of the message: a number without an end")


def _encoded_list(name: str, values: NDArray[Any]) -> tuple[int, bytes]:
    """Kind and content of a list."""
    if values.ndim != 1:
        raise DataError(f"feature {name!r}: expected one dimension, got an array of shape {values.shape}")
    if values.dtype.kind in "iub":
        if values.dtype == np.uint64 and len(values) and int(values.max()) >= 2**63:
            raise DataError(f"feature {name!r}: expected integers of 64 bits with sign, got {int(values.max())}")
        return INTEGERS, _packed(b"".join(map(_VARINTS.__getitem__, values.tolist())))
    if values.dtype.kind == "f":
        return FLOATS, _packed(values.astype("<f4").tobytes())
    pieces: Sequence[Any] = values.tolist()
    if values.dtype == object and all(isinstance(piece, bytes) for piece in pieces):
        return BYTES, b"".join(_delimited(1, piece) for piece in pieces)
    raise DataError(f"feature {name!r}: expected integers, floats or bytes objects, got {values.dtype}")


def _packed(content: bytes) -> bytes:
    return _delimited(1, content) if content else b""


def _delimited(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | _DELIMITED]) + _VARINTS[len(content)] + content


class _Varints(dict[int, bytes]):
    """Integers as varints, negative ones as if they were 64 bits without sign. Usual ones are remembered."""

    def __missing__(self, value: int) -> bytes:
        rest = value if value >= 0 else value + 2**64
        made = bytearray()
        while rest > 0x7F:
            made.append(rest & 0x7F | 0x80)
            rest >>= 7
        made.append(rest)
        if 0 <= value < 2**16:
            self[value] = bytes(made)
        return bytes(made)


_VARINTS = _Varints()
