"""MindSpore's `.ckpt`: the Protocol Buffers message Checkpoint.

Checkpoint {repeated Value 1}, Value {1 name, 2 TensorProto, 3 MapTensorProto}, TensorProto {1 sizes, 2 type, 3 bytes}.
A parameter above 512 MiB is several Values of the same name; a file may end in "crc_num" and ten bytes of checksum.
Sources: mindspore/ccsrc/utils/checkpoint.proto, mindspore/train/serialization.py, utils/crypto.h.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from plm.checkpoints.formats.binary import DTYPES, Cursor, FileBytes, first_bytes
from plm.checkpoints.formats.format import Format, best_first
from plm.checkpoints.formats.protobuf import fields, inner, integers
from plm.errors import CheckpointError

_CHECKSUM = b"crc_num"
_CHECKSUM_SIZE = len(_CHECKSUM) + 10
_TEXT = "str"  # type of the texts that append_dict may add
_TYPES = {"BFloat16": "bfloat16", "UInt8": "uint8", "UInt16": "uint16", "UInt32": "uint32", "UInt64": "uint64"}
_ENCRYPTED = tuple((0x7F3A5ED8 + kind).to_bytes(4, order) for kind in range(3) for order in ("little", "big"))


@dataclass
class _Parameter:
    """One Value. shape: sizes of the whole parameter; pieces: its bytes, in one piece or several."""

    name: str = ""
    shape: list[int] = field(default_factory=list)
    type: str = ""
    pieces: list[memoryview] = field(default_factory=list)
    is_map: bool = False


def find(folder: Path) -> list[Path]:
    """`*.ckpt` that hold this format, one without a step in its name first."""
    return best_first(path for path in folder.glob("*.ckpt") if accepts(path))


def accepts(path: Path) -> bool:
    """Field 1, in it field 1 with the name and then field 2; or the magic number of an encrypted file."""
    start = first_bytes(path, 512)
    if start.startswith(_ENCRYPTED):
        return True
    head = FileBytes(path, memoryview(start)).cursor()
    try:
        is_value = head.uint(1) == 0x0A and head.varint() > 0
        is_named = head.uint(1) == 0x0A and head.text(head.varint()).isprintable()
        return is_value and is_named and head.uint(1) in (0x12, 0x1A)
    except CheckpointError:
        return False


def read(path: Path) -> dict[str, Tensor]:
    """All parameters in the order of the file, scalars such as `epoch_num` among them; texts are left out.

    The checksum is compared when the file has one.
    Raises CheckpointError for damage, encrypted files and hash-table parameters (MapTensor).
    """
    file = FileBytes.open(path)
    if bytes(file.data[:4]) in _ENCRYPTED:
        raise file.error(
            "the file is encrypted", advice="load it with mindspore.load_checkpoint(dec_key=...) and save it again"
        )
    tensors: dict[str, Tensor] = {}
    for parameter in _parameters(file):
        if parameter.name in tensors:
            raise file.error(f"the name {parameter.name!r} comes twice")
        if parameter.type != _TEXT:
            tensors[parameter.name] = _tensor(file, parameter)
    return tensors


def _parameters(file: FileBytes) -> Iterator[_Parameter]:
    """The parameters, those in several pieces joined."""
    last: _Parameter | None = None
    for number, value in fields(_content(file)):
        if number != 1 or not isinstance(value, Cursor):
            raise file.error(f"unknown field {number} of a MindSpore checkpoint")
        parameter = _parameter(value)
        if last is not None and parameter.name == last.name:
            if (parameter.type, parameter.shape) != (last.type, last.shape):
                raise file.error(f"the pieces of {last.name!r} differ in type or shape")
            last.pieces += parameter.pieces
            continue
        if last is not None:
            yield last
        last = parameter
    if last is None:
        raise file.error("there is no parameter in it")
    yield last


def _content(file: FileBytes) -> Cursor:
    """The message without the checksum behind it, which is compared."""
    if bytes(file.data[-_CHECKSUM_SIZE:][: len(_CHECKSUM)]) != _CHECKSUM:
        return file.cursor()
    length = file.size - _CHECKSUM_SIZE
    if zlib.crc32(file.data[:length]) != int.from_bytes(file.data[-10:], "big"):
        raise file.error("the checksum at the end of the file is wrong")
    return file.cursor(0, length)


def _parameter(message: Cursor) -> _Parameter:
    parameter = _Parameter()
    for number, value in fields(message):
        content = inner(value, message)
        if number == 1:
            parameter.name = content.text(content.remaining)
        elif number == 2:
            _read_tensor(content, parameter)
        elif number == 3:
            raise message.file.error(f"{parameter.name!r} is a hash table (MapTensor), which no model here has")
        else:
            raise message.file.error(f"unknown field {number} of the parameter {parameter.name!r}")
    return parameter


def _read_tensor(message: Cursor, parameter: _Parameter) -> None:
    for number, value in fields(message):
        if number == 1:
            parameter.shape += integers(value)
        elif number == 2:
            content = inner(value, message)
            parameter.type = content.text(content.remaining)
        elif number == 3:
            content = inner(value, message)
            parameter.pieces.append(content.take(content.remaining))


def _tensor(file: FileBytes, parameter: _Parameter) -> Tensor:
    dtype = _TYPES.get(parameter.type, parameter.type.lower())
    if dtype not in DTYPES:
        raise file.error(f"{parameter.name!r} has the unknown type {parameter.type!r:.40}")
    shape = [] if parameter.shape == [0] else parameter.shape  # [0] is how MindSpore writes a scalar
    pieces = parameter.pieces
    data = pieces[0] if len(pieces) == 1 else memoryview(bytearray().join(pieces))
    return file.tensor(parameter.name, data, DTYPES[dtype], shape)


MINDSPORE = Format(name="mindspore", find=find, accepts=accepts, read=read, looks_for="*.ckpt")
