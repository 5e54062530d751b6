"""NaN and infinity in safetensors files, found by reading through them once, without keeping them in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

# Numbers summed at a time. They stay in the cache of a core; for more, torch wakes its threads, whose waiting for each
# other costs several times the sum.
_CHUNK = 1 << 15

_FLOATING = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32, "F64": torch.float64}


def non_finite(path: Path) -> list[str]:
    """Names of tensors that hold NaN or infinity. path: a safetensors file that was read without error."""
    buffer = bytearray(_CHUNK * max(dtype.itemsize for dtype in _FLOATING.values()))
    bad = []
    with path.open("rb", buffering=0) as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        for name, entry in header.items():
            dtype = _FLOATING.get(entry["dtype"])
            start, end = entry["data_offsets"]
            if dtype is not None and not all(
                is_finite(part) for part in _parts(file, 8 + length + start, 8 + length + end, buffer, dtype)
            ):
                bad.append(name)
    return bad


def _parts(file: BinaryIO, start: int, end: int, buffer: bytearray, dtype: torch.dtype) -> Iterator[Tensor]:
    """The numbers between two offsets, a chunk at a time, in one buffer."""
    file.seek(start)
    view = memoryview(buffer)
    while start < end:
        wanted = min(_CHUNK * dtype.itemsize, end - start)
        read = file.readinto(view[:wanted])  # type: ignore[attr-defined]
        if read % dtype.itemsize or not read:
            return  # the file became shorter under our hands: reading its tensors will say so
        yield torch.frombuffer(buffer, dtype=dtype, count=read // dtype.itemsize)
        start += read


def is_finite(tensor: Tensor) -> bool:
    """True when no number of a floating-point tensor is NaN or infinite."""
    if tensor.dtype.itemsize == 1:
        tensor = tensor.float()  # there is no arithmetic on float8
    # A finite sum proves that all are finite; an infinite one may be an overflow of finite numbers.
    return bool(torch.isfinite(tensor.sum())) or bool(torch.isfinite(tensor).all())
