"""PyTorch's own files: `pytorch_model.bin`, `*.pt` and shards, in the zip format and the one before torch 1.6.

Both hold a pickle. Its names are looked through first, then it goes through torch.load(weights_only=True), which
builds tensors and plain containers and runs nothing else.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from plm.checkpoints.formats.binary import DAMAGED, first_bytes
from plm.checkpoints.formats.format import Format, best_first, existing
from plm.checkpoints.formats.replacing import replacing
from plm.checkpoints.formats.shards import INDEX_SUFFIX, read_shards
from plm.checkpoints.formats.wrappers import unwrapped
from plm.errors import CheckpointError

NAME = "pytorch_model.bin"
STALE = (NAME + INDEX_SUFFIX, "pytorch_model-?????-of-?????.bin")

# The number 0x1950a86a20f9469cfc6c, pickled: files of torch < 1.6 begin with it.
_LEGACY_MAGIC = bytes.fromhex("8a0a6cfc9c46f9206aa85019")
_GLOBALS = ("collections OrderedDict", "collections Counter", "__builtin__ set", "builtins set")
_MOST_STEPS = 2**18  # a state dict with its optimizer takes some 50,000
_NOT_WEIGHTS = ("optim", "scheduler", "scaler", "rng_state", "training_args")  # files of trainers beside the weights


def find(folder: Path) -> list[Path]:
    """`pytorch_model.bin`, its index, `*_pytorch_model.bin`, `*.pt`, `*.pth`, and `*.ckpt` that torch wrote."""
    entries = existing(folder, NAME, NAME + INDEX_SUFFIX)
    for patterns in ([f"*_{NAME}"], ["*.pt", "*.pth"], ["*.ckpt"]):
        free = [path for pattern in patterns for path in folder.glob(pattern) if _is_weights(path)]
        entries = best_first(free, usual=entries)
    return entries


def accepts(path: Path) -> bool:
    """A zip with a `data.pkl`, the magic number of older files, or an index of `.bin` files."""
    if path.name.endswith(".bin" + INDEX_SUFFIX):
        return path.is_file()
    start = first_bytes(path)
    return _LEGACY_MAGIC in start[:32] or (start.startswith(b"PK") and _pickle_in_zip(path))


def read(path: Path) -> dict[str, Tensor]:
    """The state dict, in the order of the file; files of torch >= 1.6 are mapped, older ones are read.

    Wrappers such as {"model": ..., "optimizer": ...} are seen through; what is no tensor is left out.
    Raises CheckpointError for damage, for pickles that want to call anything, and for tensors that are larger than
    the data behind them.
    """
    if path.name.endswith(INDEX_SUFFIX):
        return read_shards(path, _read_file)
    return _read_file(path)


def write(folder: Path, tensors: Mapping[str, Tensor]) -> list[Path]:
    """Write `pytorch_model.bin` in the zip format. Prefer safetensors: it needs no pickle on the other side."""
    plain = {name: _compact(tensor) for name, tensor in tensors.items()}
    with replacing(folder) as new:
        with new.open(NAME) as file:
            torch.save(plain, file)
        return new.commit(stale=STALE)


def _read_file(path: Path) -> dict[str, Tensor]:
    saved = _loaded(path)
    size = path.stat().st_size
    found = unwrapped(saved, lambda value: isinstance(value, Tensor), path)
    return {name: _checked(value, name, path, size) for name, value in found.items() if isinstance(value, Tensor)}


def _loaded(path: Path) -> object:
    start = first_bytes(path)
    if not start:
        raise CheckpointError(f"{path}: no such file, or it is empty; {DAMAGED}")
    is_zip = start.startswith(b"PK")
    try:
        for pickled in _pickles_of_zip(path) if is_zip else _pickles_of_legacy(path):
            _check_pickle(pickled)
        return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except _RefusedError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except Exception as error:  # a damaged pickle can raise anything
        reason = (str(error) or type(error).__name__).splitlines()[0]
        if isinstance(error, pickle.UnpicklingError):  # torch's text goes on to advise switching the protection off
            reason = "torch.load refuses the pickle in it"
        raise CheckpointError(f"{path}: not a valid PyTorch file ({reason:.200}); {DAMAGED}") from error


class _RefusedError(Exception):
    """A file that is sound and still not to be read."""


def _pickles_of_zip(path: Path) -> Iterator[BinaryIO]:
    """The pickle of a zip file, whose members must be stored as they are.

    torch writes nothing else, mapping needs it, and so nothing can blow up.
    """
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.compress_type != zipfile.ZIP_STORED:
                raise _RefusedError(f"{member.filename!r} is compressed, which torch.save never does; save it again")
            if member.filename.lower().endswith("data.pkl"):
                yield io.BytesIO(archive.read(member))


def _pickles_of_legacy(path: Path) -> Iterator[BinaryIO]:
    """The same open file for each of the pickles at its start: magic number, version, system, state."""
    with path.open("rb") as file:
        for _ in range(4):
            yield file


def _check_pickle(pickled: BinaryIO) -> None:
    """Refuse names that are neither torch's nor a dictionary's, before torch.load looks at the others in its turn.

    torch allows a few calls that can ask for any amount of memory, such as bytearray.
    """
    for count, (opcode, argument, _) in enumerate(pickletools.genops(pickled)):
        if opcode.name == "GLOBAL" and argument not in _GLOBALS and not str(argument).startswith(("torch ", "torch.")):
            asked = str(argument).replace(" ", ".")
            raise _RefusedError(f"the pickle in it calls {asked!r:.120}; plm runs no code from checkpoints")
        if count > _MOST_STEPS:
            raise _RefusedError(f"the pickle in it has more than {_MOST_STEPS} steps, which no state dict needs")


def _pickle_in_zip(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/data.pkl") for name in archive.namelist())
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return False


def _is_weights(path: Path) -> bool:
    return not any(part in path.name for part in _NOT_WEIGHTS) and accepts(path)


def _checked(tensor: Tensor, name: str, path: Path, file_size: int) -> Tensor:
    """A plain dense tensor that has its data. A view with stride 0 can claim terabytes over four bytes."""
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
        raise CheckpointError(f"{path}: tensor {name!r} is {tensor.layout} on {tensor.device}; expected a dense one")
    needed = max(tensor.numel() * tensor.dtype.itemsize, tensor.untyped_storage().nbytes())
    if needed > file_size:
        raise CheckpointError(
            f"{path}: tensor {name!r} of shape {tuple(tensor.shape)} claims {needed} bytes in a file of {file_size}; "
            f"{DAMAGED}"
        )
    return tensor.detach()


def _compact(tensor: Tensor) -> Tensor:
    """The tensor with a storage of its own size: torch.save would write all of a larger one behind a view."""
    tensor = tensor.detach().cpu().contiguous()
    is_whole = tensor.untyped_storage().nbytes() == tensor.numel() * tensor.dtype.itemsize
    return tensor if is_whole else tensor.clone()


TORCH_BIN = Format(
    name="torch_bin",
    find=find,
    accepts=accepts,
    read=read,
    write=write,
    stale=STALE,
    looks_for=f"{NAME}, {NAME}{INDEX_SUFFIX}, *_{NAME}, *.pt, *.pth",
)
