"""The bytes of a file, mapped into memory: read in small pieces, or turned into tensors that share them."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from plm.errors import CheckpointError

DAMAGED = "the file is damaged or incomplete: fetch or export it again"

# Element types under the names that NumPy, Flax and (capitalised) MindSpore give them.
DTYPES: dict[str, torch.dtype] = {
    "bool": torch.bool,
    "uint8": torch.uint8,
    "int8": torch.int8,
    "uint16": torch.uint16,
    "int16": torch.int16,
    "uint32": torch.uint32,
    "int32": torch.int32,
    "uint64": torch.uint64,
    "int64": torch.int64,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float32": torch.float32,
    "float64": torch.float64,
}

_MOST_ELEMENTS = 2**60  # of a shape whose zero sizes count as one: keeps torch's strides inside int64
_MOST_DIMENSIONS = 32  # NumPy's limit, half of torch's
_MOST_COPIES = 8  # times the size of the file: more than compression and alignment of honest files ever need
_FREE_COPIES = 2**26  # bytes that any file may cost


class FileBytes:
    """The bytes of one file and the messages about them.

    path: the file, for messages.
    data: all its bytes; writable, but writes never reach the file.
    """

    def __init__(self, path: Path, data: memoryview) -> None:
        self.path = path
        self.data = data
        self._copied = 0

    @classmethod
    def open(cls, path: Path) -> FileBytes:
        """Map a file copy-on-write: pages that nobody looks at are never read from disk.

        Raises CheckpointError when there is no such file, it is empty, or it is no regular file (a pipe would block).
        """
        try:
            size = path.stat().st_size
            if not path.is_file():
                raise CheckpointError(f"{path}: expected a file, found {'a folder' if path.is_dir() else 'a device'}")
            if size == 0:
                raise CheckpointError(f"{path}: the file is empty; {DAMAGED}")
            storage = torch.UntypedStorage.from_file(str(path), shared=False, nbytes=size)
        except (OSError, RuntimeError) as error:
            raise CheckpointError(f"{path}: cannot be read: {error}") from error
        mapped = torch.empty(0, dtype=torch.uint8).set_(storage)  # type: ignore[arg-type]
        return cls(path, mapped.numpy().data)

    @property
    def size(self) -> int:
        """Length of the file in bytes."""
        return len(self.data)

    def slice(self, start: int, length: int) -> memoryview:
        """`length` bytes from `start` on, shared. Raises CheckpointError when the file does not hold them all."""
        if start < 0 or length < 0 or start + length > self.size:
            raise self.error(f"bytes {start} to {start + length} are needed, the file has {self.size}")
        return self.data[start : start + length]

    def cursor(self, start: int = 0, length: int | None = None) -> Cursor:
        """A cursor over `length` bytes from `start` on (all the rest when None)."""
        return Cursor(self, self.slice(start, self.size - start if length is None else length))

    def tensor(
        self, name: str, data: memoryview, dtype: torch.dtype, shape: Sequence[int], *, big_endian: bool = False
    ) -> Tensor:
        """A tensor of exactly the bytes `data`, shared where the machine can address them in place.

        name: the tensor's name, for messages. data: a writable view.
        Bytes that do not start at a multiple of the element size are copied: PyTorch's kernels assume alignment.
        Raises CheckpointError when the shape does not take up exactly these bytes.
        """
        count = self.elements(name, shape)
        if count * dtype.itemsize != len(data):
            raise self.error(
                f"tensor {name!r}: {dtype} of shape {tuple(shape)} takes {count * dtype.itemsize} bytes, "
                f"the file gives it {len(data)}"
            )
        if count == 0:
            return torch.empty(tuple(shape), dtype=dtype)
        raw = torch.frombuffer(data, dtype=torch.uint8)
        if big_endian or dtype is torch.bool or raw.data_ptr() % dtype.itemsize:
            self.spend(len(data))
            raw = raw.view(count, dtype.itemsize).flip(1).reshape(-1) if big_endian else raw.clone()
        if dtype is torch.bool:  # any other byte than 0 and 1 is undefined behaviour in a bool tensor
            raw = raw != 0
        return raw.view(dtype).reshape(tuple(shape))

    def elements(self, name: str, shape: Sequence[int]) -> int:
        """The number of elements of a shape. Raises CheckpointError when no tensor can have it."""
        sizes_fit = len(shape) <= _MOST_DIMENSIONS and all(size >= 0 for size in shape)
        if not sizes_fit or math.prod(max(size, 1) for size in shape) > _MOST_ELEMENTS:
            raise self.error(f"tensor {name!r}: impossible shape {_short(shape)}")
        return math.prod(shape)

    def spend(self, count: int) -> None:
        """Account for `count` bytes of memory that are not shared with the file.

        Raises CheckpointError once they are out of all proportion: tensors that overlap in the file, or compressed
        ones, could otherwise ask for any amount.
        """
        self._copied += count
        if self._copied > _FREE_COPIES + _MOST_COPIES * self.size:
            raise self.error(f"its tensors take more than {self._copied} bytes of memory, the file has {self.size}")

    def error(self, reason: str, *, advice: str = DAMAGED) -> CheckpointError:
        """The error to raise about this file: what is wrong and what to do."""
        return CheckpointError(f"{self.path}: {reason}; {advice}")


class Cursor:
    """Reads little-endian pieces one after the other and never past its end.

    file: whose bytes these are, for messages. position: next byte, counted from the start of this cursor's bytes.
    Every method raises CheckpointError when the bytes run out.
    """

    def __init__(self, file: FileBytes, data: memoryview) -> None:
        self.file = file
        self.data = data
        self.position = 0

    @property
    def remaining(self) -> int:
        """Bytes not read yet."""
        return len(self.data) - self.position

    def take(self, count: int) -> memoryview:
        """The next `count` bytes, shared."""
        stop = self.position + count
        if count < 0 or stop > len(self.data):
            raise self.file.error(f"{count} bytes are announced where {self.remaining} are left")
        piece = self.data[self.position : stop]
        self.position = stop
        return piece

    def uint(self, width: int) -> int:
        """An unsigned integer of `width` bytes."""
        return int.from_bytes(self.take(width), "little")

    def unpack(self, layout: struct.Struct) -> tuple[int, ...]:
        """Several numbers at once."""
        return layout.unpack(self.take(layout.size))

    def varint(self) -> int:
        """An unsigned integer of 7 bits a byte, at most 64 bits, as protobuf and LevelDB write it."""
        value = 0
        for shift in range(0, 70, 7):
            byte = self.uint(1)
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & 0xFFFF_FFFF_FFFF_FFFF
        raise self.file.error("an integer has more than 64 bits")

    def text(self, count: int) -> str:
        """`count` bytes of UTF-8."""
        try:
            return str(self.take(count), "utf-8")
        except UnicodeDecodeError as error:
            raise self.file.error(f"a name is not UTF-8 ({error.reason})") from error

    def inner(self, count: int) -> Cursor:
        """A cursor of its own over the next `count` bytes."""
        return Cursor(self.file, self.take(count))


def first_bytes(path: Path, count: int = 64) -> bytes:
    """Up to `count` bytes from the start of a regular file; empty for anything else."""
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as file:
            return file.read(count)
    except OSError:
        return b""


def last_bytes(path: Path, count: int) -> bytes:
    """Up to `count` bytes from the end of a regular file; empty for anything else."""
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - count))
            return file.read(count)
    except OSError:
        return b""


def raw_bytes(tensor: Tensor) -> memoryview:
    """The bytes of a tensor in C order, shared when it is contiguous on the CPU. Works for every dtype."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data


def _short(shape: Sequence[int]) -> str:
    shown = ", ".join(f"{size:.3e}" if abs(size) >= 10**15 else str(size) for size in shape[:8])
    return f"({shown}{', ...' if len(shape) > 8 else ''})"
