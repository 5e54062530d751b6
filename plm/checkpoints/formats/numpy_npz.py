"""NumPy's `.npz`: a zip of named `.npy` arrays, for users without any framework."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from plm.checkpoints.formats.binary import FileBytes, first_bytes, raw_bytes
from plm.checkpoints.formats.format import Format, existing
from plm.checkpoints.formats.npy import CODES, npy_header, read_npy
from plm.checkpoints.formats.replacing import replacing
from plm.errors import CheckpointError

NAME = "model.npz"

_SUFFIX = ".npy"
_LOCAL_HEADER = 30  # bytes in front of a member's name
_ZIP64_FIELD = 20  # bytes that zipfile adds for sizes above 4 GiB
_PADDING = 0xD935


def find(folder: Path) -> list[Path]:
    """`model.npz` only: other `.npz` files are as often data as weights."""
    return existing(folder, NAME)


def accepts(path: Path) -> bool:
    """A zip of nothing but `.npy` members."""
    if not first_bytes(path, 4).startswith(b"PK"):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return all(name.endswith(_SUFFIX) for name in archive.namelist())
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return False


def read(path: Path) -> dict[str, Tensor]:
    """All arrays in the order of the archive; members that are not compressed are mapped where they are aligned.

    Raises CheckpointError for damage, for arrays of Python objects and for members that are no arrays.
    """
    file = FileBytes.open(path)
    tensors: dict[str, Tensor] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                name = member.filename.removesuffix(_SUFFIX)
                if name == member.filename or name in tensors:
                    raise file.error(f"the member {member.filename!r} is no array or comes twice")
                tensors[name] = read_npy(file, name, _content(file, archive, member))
    except (OSError, ValueError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise file.error(f"not a valid zip file ({error!s:.100})") from error
    return tensors


def write(folder: Path, tensors: Mapping[str, Tensor]) -> list[Path]:
    """Write `model.npz`, not compressed and with every array aligned, so that `read` can map it.

    Raises CheckpointError for dtypes that NumPy does not have, such as bfloat16.
    """
    for name, tensor in tensors.items():
        if tensor.dtype not in CODES.values():
            raise CheckpointError(f"tensor {name!r}: NumPy has no {tensor.dtype}; convert it to float32 first")
    with replacing(folder) as new:
        with new.open(NAME) as file, zipfile.ZipFile(file, "w") as archive:
            for name, tensor in tensors.items():
                with archive.open(_aligned(name + _SUFFIX, file.tell()), "w", force_zip64=True) as member:
                    member.write(npy_header(tensor))
                    member.write(raw_bytes(tensor))
        return new.commit()


def _aligned(name: str, offset: int) -> zipfile.ZipInfo:
    """A member at `offset` whose content starts at a multiple of 64 bytes, like the data behind a `.npy` header.

    The padding is an extra field, as Android's zipalign writes it; readers skip what they do not know.
    """
    member = zipfile.ZipInfo(name)
    start = offset + _LOCAL_HEADER + len(name.encode()) + _ZIP64_FIELD + 4
    padding = -start % 64
    member.extra = struct.pack("<HH", _PADDING, padding) + bytes(padding)
    return member


def _content(file: FileBytes, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> memoryview:
    """The bytes of a member: a view of the file, or what they inflate to."""
    if member.flag_bits & 1:
        raise file.error(f"the member {member.filename!r} is encrypted")
    if member.compress_type == zipfile.ZIP_STORED:
        header = file.cursor(member.header_offset, _LOCAL_HEADER)
        header.take(26)
        start = member.header_offset + _LOCAL_HEADER + header.uint(2) + header.uint(2)
        return file.slice(start, member.file_size)
    file.spend(member.file_size)
    return memoryview(bytearray(archive.read(member)))


NUMPY_NPZ = Format(name="numpy_npz", find=find, accepts=accepts, read=read, write=write, looks_for=NAME)
