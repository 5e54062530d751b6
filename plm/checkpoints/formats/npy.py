"""NumPy's `.npy` arrays, mapped; never a pickle.

The header is a Python dictionary as text. NumPy evaluates it; here it has to look as NumPy's own writer makes it.
Source: NEP 1, numpy/lib/format.py.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor

from plm.checkpoints.formats.binary import FileBytes

# NumPy's short names of the element types that PyTorch has too.
CODES: dict[str, torch.dtype] = {
    "b1": torch.bool,
    "u1": torch.uint8,
    "i1": torch.int8,
    "u2": torch.uint16,
    "i2": torch.int16,
    "u4": torch.uint32,
    "i4": torch.int32,
    "u8": torch.uint64,
    "i8": torch.int64,
    "f2": torch.float16,
    "f4": torch.float32,
    "f8": torch.float64,
}
_NAMES = {dtype: code for code, dtype in CODES.items()}

_MAGIC = b"\x93NUMPY"
_LENGTH_BYTES = {1: 2, 2: 4}  # of the length of the header, by version
_LONGEST_HEADER = 4096
_HEADER = re.compile(
    r"\{'descr': '(?P<order>[<>|=]?)(?P<code>\w{1,16})', 'fortran_order': (?P<fortran>True|False), "
    r"'shape': \((?P<shape>(?:\d{1,19}L?,? ?){0,32})\), \} *\n?"
)


def read_npy(file: FileBytes, name: str, data: memoryview) -> Tensor:
    """The array that the bytes `data` of a file hold, sharing them where it can.

    name: for messages. Raises CheckpointError for damage, for pickled objects and for element types that PyTorch
    does not have.
    """
    version = data[len(_MAGIC)] if len(data) > len(_MAGIC) and data[: len(_MAGIC)] == _MAGIC else 0
    if version not in _LENGTH_BYTES:
        raise file.error(f"{name}: not a NumPy array of version 1 or 2")
    start = len(_MAGIC) + 2 + _LENGTH_BYTES[version]
    stop = start + int.from_bytes(data[len(_MAGIC) + 2 : start], "little")
    header = str(data[start : min(stop, start + _LONGEST_HEADER)], "latin1")
    found = _HEADER.fullmatch(header)
    if found is None:
        raise file.error(f"{name}: the header {header:.100}... is no simple NumPy array")
    if found["code"] == "O":
        raise file.error(f"{name}: an array of Python objects", advice="plm runs no code from checkpoints")
    if found["code"] not in CODES:
        raise file.error(f"{name}: PyTorch has nothing like NumPy's {found['code']!r}", advice="convert it to float32")
    shape = tuple(map(int, re.findall(r"\d+", found["shape"])))
    is_fortran = found["fortran"] == "True"
    order = shape[::-1] if is_fortran else shape
    tensor = file.tensor(name, data[stop:], CODES[found["code"]], order, big_endian=found["order"] == ">")
    return tensor.permute(*reversed(range(len(shape)))) if is_fortran else tensor


def npy_header(tensor: Tensor) -> bytes:
    """The bytes in front of the values of a tensor in C order, as numpy.save writes them: a multiple of 64."""
    code = _NAMES[tensor.dtype]
    order = "|" if tensor.dtype.itemsize == 1 else "<"
    text = f"{{'descr': '{order}{code}', 'fortran_order': False, 'shape': {tuple(tensor.shape)}, }}"
    start = len(_MAGIC) + 4
    text += " " * (-(start + len(text) + 1) % 64) + "\n"
    return _MAGIC + b"\x01\x00" + len(text).to_bytes(2, "little") + text.encode("latin1")
