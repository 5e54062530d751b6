"""PaddlePaddle's `.pdparams`: a pickle of NumPy arrays, read as data.

Sources: python/paddle/framework/io.py and io_utils.py of PaddlePaddle 2.6 (layout), numpy's array `__reduce__`.
"""

from __future__ import annotations

import functools
import math
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from plm.checkpoints.formats.binary import FileBytes, first_bytes
from plm.checkpoints.formats.format import Format, best_first, existing
from plm.checkpoints.formats.npy import CODES
from plm.checkpoints.formats.pickle_data import Calls, read_pickle
from plm.checkpoints.formats.torch_bin import accepts as is_torch
from plm.checkpoints.formats.wrappers import unwrapped

NAME = "model_state.pdparams"

_NAMES = "StructuredToParameterName@@"  # Paddle's own names of the parameters
_SLICES = "UnpackBigParamInfor@@"  # arrays above 1 GiB in pieces (protocols 2 and 3); the spelling is Paddle's

# NumPy has no bfloat16: Paddle stores its bits as uint16, and has no uint16 of its own.
_DTYPES = {**CODES, "u2": torch.bfloat16}


def find(folder: Path) -> list[Path]:
    """`model_state.pdparams`, then other `*.pdparams`; never the optimizer's `.pdopt`."""
    return best_first(folder.glob("*.pdparams"), usual=existing(folder, NAME))


def accepts(path: Path) -> bool:
    """A pickle of protocol 2 to 5 that is not one of PyTorch's."""
    start = first_bytes(path, 2)
    return len(start) == 2 and start[0] == 0x80 and 2 <= start[1] <= 5 and not is_torch(path)


def read(path: Path) -> dict[str, Tensor]:
    """All arrays in the order of the file; what is no array is left out.

    Wrappers such as {"epoch": 1, "model": ...} are seen through, arrays in pieces are joined.
    Raises CheckpointError for damage and for pickles that call anything but NumPy's array constructors.
    """
    file = FileBytes.open(path)
    calls: Calls = {
        ("numpy", "dtype"): _Dtype,
        ("numpy.core.multiarray", "_reconstruct"): lambda *_: _Array(file),
        ("numpy._core.multiarray", "_reconstruct"): lambda *_: _Array(file),
        ("numpy.core.numeric", "_frombuffer"): functools.partial(_frombuffer, file),
        ("numpy._core.numeric", "_frombuffer"): functools.partial(_frombuffer, file),
        ("_codecs", "encode"): functools.partial(_encode, file),
        ("__builtin__", "bytes"): lambda: memoryview(bytearray()),  # how protocol 2 spells no bytes
        ("collections", "OrderedDict"): _ordered,
        ("builtins", "eval"): functools.partial(_static_graph, file),
        ("builtins", "tuple"): _pair,
        ("__builtin__", "tuple"): _pair,
    }
    found = unwrapped(read_pickle(file, calls), lambda value: _array(value) is not None, path)
    tensors: dict[str, Tensor] = {}
    for name, value in found.items():
        array = _array(value)
        if array is not None:
            tensors[name] = array.tensor(name)
    slices = found.get(_SLICES)
    return _joined(file, tensors, slices) if isinstance(slices, Mapping) else tensors


class _Dtype:
    """What numpy.dtype(code, align, copy) means; its state holds the byte order."""

    def __init__(self, code: object, *_: object) -> None:
        if not isinstance(code, str) or code not in _DTYPES:
            raise ValueError(f"arrays of type {code!r:.20}")
        self.torch = _DTYPES[code]
        self.big_endian = False

    def set_state(self, state: Any) -> None:
        self.big_endian = state[1] == ">"


class _Array:
    """What numpy's _reconstruct makes: an empty array, filled by its state (version, shape, dtype, order, bytes)."""

    def __init__(self, file: FileBytes) -> None:
        self.file = file
        self.state: tuple[Any, ...] | None = None

    def set_state(self, state: Any) -> None:
        _, shape, dtype, is_fortran, data = state
        sizes_are_numbers = isinstance(shape, tuple) and all(isinstance(size, int) for size in shape)
        if not sizes_are_numbers or not isinstance(dtype, _Dtype):
            raise TypeError("an array without shape or type")
        self.state = (shape, dtype, bool(is_fortran), _bytes(data))

    def tensor(self, name: str) -> Tensor:
        """The values. Raises CheckpointError when shape and bytes do not fit."""
        if self.state is None:
            raise self.file.error(f"the array {name!r} has no content")
        shape, dtype, is_fortran, data = self.state
        order = tuple(reversed(shape)) if is_fortran else shape
        tensor = self.file.tensor(name, data, dtype.torch, order, big_endian=dtype.big_endian)
        return tensor.permute(*reversed(range(len(shape)))) if is_fortran else tensor


def _frombuffer(file: FileBytes, data: Any, dtype: Any, shape: Any, order: Any) -> _Array:
    """How protocol 5 spells an array."""
    array = _Array(file)
    array.set_state((1, shape, dtype, order == "F", data))
    return array


def _array(value: object) -> _Array | None:
    """The array of a value: itself, or the second part of the pair (name, array) of nested saves."""
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str):
        value = value[1]
    return value if isinstance(value, _Array) else None


def _bytes(data: object) -> memoryview:
    if isinstance(data, memoryview):
        return data
    if isinstance(data, str):  # a `str` of Python 2 whose bytes happen to be UTF-8
        return memoryview(bytearray(data, "utf-8"))
    raise TypeError("an array whose content is no bytes")


def _encode(file: FileBytes, text: object, encoding: object) -> memoryview:
    """How protocol 2 spells bytes in Python 3: text in Latin-1."""
    if not isinstance(text, str) or encoding != "latin1":
        raise ValueError(f"text in {encoding!r:.20}")
    file.spend(len(text))
    return memoryview(bytearray(text, "latin1"))


def _pair(value: object) -> tuple[object, ...]:
    """Nested saves make their pairs (name, array) by a call of tuple."""
    if not isinstance(value, tuple):  # tuple() of bytes would take eight times their memory
        raise TypeError("a tuple made of something else")
    return value


def _static_graph(file: FileBytes, *_: object) -> None:
    """Paddle 2 wraps the tensors of static graphs in a call of eval."""
    raise file.error(
        "saved from a static graph, as a program for eval(), which plm does not run",
        advice="load it with paddle.load and save it with paddle.save as a dictionary of NumPy arrays",
    )


def _ordered(*pairs: Any) -> OrderedDict[Any, Any]:
    if pairs and pairs != ([],):
        raise ValueError("an OrderedDict made from values")
    return OrderedDict()


def _joined(file: FileBytes, tensors: dict[str, Tensor], slices: Mapping[str, Any]) -> dict[str, Tensor]:
    """Put arrays that were saved in pieces together: {name: {"OriginShape": shape, "slices": [names]}}."""
    pieces: dict[str, str] = {}
    for name, told in slices.items():
        if not isinstance(told, Mapping) or not isinstance(told.get("slices"), list | tuple):
            raise file.error(f"the list of pieces of {name!r} is not understood")
        for piece in told["slices"]:
            if not isinstance(piece, str) or piece not in tensors or piece in pieces:
                raise file.error(f"the piece {piece!r:.80} of {name!r} is missing")
            pieces[piece] = name
    joined: dict[str, Tensor] = {}
    for key, tensor in tensors.items():
        whole = pieces.get(key, key)
        if whole not in joined:
            joined[whole] = tensor if whole == key else _whole(file, whole, slices[whole], tensors)
    return joined


def _whole(file: FileBytes, name: str, told: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Tensor:
    flat = torch.cat([tensors[piece].reshape(-1) for piece in told["slices"]])
    shape = tuple(size for size in told.get("OriginShape", ()) if isinstance(size, int))
    if math.prod(shape) != flat.numel() or file.elements(name, shape) != flat.numel():
        raise file.error(f"the pieces of {name!r} have {flat.numel()} elements, its shape {shape} needs another number")
    return flat.reshape(shape)


PADDLE = Format(name="paddle", find=find, accepts=accepts, read=read, looks_for=f"{NAME}, *.pdparams")
