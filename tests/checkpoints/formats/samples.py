"""One small valid checkpoint of every format, for tests that damage it, and the files kept in `files/`."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from plm.checkpoints.formats import (
    flax_msgpack,
    keras_h5,
    mindspore,
    numpy_npz,
    openai_npy,
    paddle,
    paddle_fluid,
    safetensors,
    tf_checkpoint,
    torch_bin,
)
from plm.checkpoints.formats.protobuf import bytes_field, varint

FILES = Path(__file__).parent / "files"


def tensors() -> dict[str, Tensor]:
    """A matrix, integers, 16-bit floats and a scalar."""
    return {
        "a/w": torch.arange(12, dtype=torch.float32).reshape(3, 4) / 7,
        "b": torch.arange(5),
        "half": torch.arange(6).to(torch.bfloat16),
        "one": torch.tensor(1.5),
    }


def without_bfloat16() -> dict[str, Tensor]:
    return {name: tensor for name, tensor in tensors().items() if tensor.dtype is not torch.bfloat16}


def gpt() -> dict[str, Tensor]:
    """The parameters of a GPT-1 of one layer, out of order."""
    names = reversed(["positions", "words", *(f"h0/{part}" for part in openai_npy._LAYER)])
    return {name: torch.arange(8, dtype=torch.float32).reshape(2, 4) + len(name) for name in names}


def mindspore_value(
    name: str, tensor: Tensor, *, shape: list[int] | None = None, dtype: str = "Float32", extra: bytes = b""
) -> bytes:
    """One parameter of a MindSpore checkpoint as MindSpore writes it."""
    sizes = list(tensor.shape) if shape is None else shape
    content = tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes()
    # a size of 0 is written too, unlike the default values that varint_field leaves out
    message = b"".join(varint(1 << 3) + varint(size) for size in sizes)
    message += bytes_field(2, dtype.encode()) + bytes_field(3, content)
    return bytes_field(1, bytes_field(1, name.encode()) + bytes_field(2, message) + extra)


def lod_tensor(tensor: Tensor, *, kind: int = 5, levels: tuple[bytes, ...] = ()) -> bytes:
    """A parameter file of PaddlePaddle 1."""
    description = b"\x08" + varint(kind) + b"".join(b"\x10" + varint(size) for size in tensor.shape)
    head = struct.pack("<IQ", 0, len(levels)) + b"".join(struct.pack("<Q", len(level)) + level for level in levels)
    content = tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes()
    return head + struct.pack("<II", 0, len(description)) + description + content


def _torch_legacy(folder: Path) -> Path:
    torch.save({"model": tensors(), "epoch": 3}, folder / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    return folder / "pytorch_model.bin"


def _safetensors_shards(folder: Path) -> Path:
    return safetensors.write(folder, tensors(), max_shard_size=60)[-1]


def _npz_deflated(folder: Path) -> Path:
    arrays = {name.replace("/", "."): tensor.numpy() for name, tensor in without_bfloat16().items()}
    np.savez_compressed(folder / "model.npz", **arrays)  # type: ignore[arg-type]
    return folder / "model.npz"


def _mindspore(folder: Path) -> Path:
    piece = torch.randn(5)
    pieces = [mindspore_value("c", piece, shape=[2, 5])] * 2
    content = [mindspore_value("a.b", torch.randn(3, 4)), *pieces, mindspore_value("step", torch.ones(1), shape=[0])]
    (folder / "model.ckpt").write_bytes(b"".join(content))
    return folder / "model.ckpt"


def _fluid(folder: Path) -> Path:
    for name in ("word_embedding", "pos_embedding", "x.w_0"):
        (folder / name).write_bytes(lod_tensor(torch.randn(3, 4)))
    return folder


def _written(write: Callable[..., list[Path]], what: Callable[[], dict[str, Tensor]]) -> Callable[[Path], Path]:
    return lambda folder: write(folder, what())[-1]


def _copied(*names: str) -> Callable[[Path], Path]:
    def copy(folder: Path) -> Path:
        for name in names:
            shutil.copy(FILES / name, folder / name)
        return folder / names[0]

    return copy


# name -> (module of the format, maker: folder -> entry)
SAMPLES = {
    "safetensors": (safetensors, _written(safetensors.write, tensors)),
    "safetensors_shards": (safetensors, _safetensors_shards),
    "torch_zip": (torch_bin, _written(torch_bin.write, tensors)),
    "torch_legacy": (torch_bin, _torch_legacy),
    "tf_checkpoint": (tf_checkpoint, _written(tf_checkpoint.write, tensors)),
    "keras_h5": (keras_h5, _copied("tiny.h5")),
    "flax_msgpack": (flax_msgpack, _copied("chunked.msgpack")),
    "mindspore": (mindspore, _mindspore),
    "paddle_protocol2": (paddle, _copied("protocol2.pdparams")),
    "paddle_protocol4": (paddle, _copied("protocol4.pdparams")),
    "paddle_nested": (paddle, _copied("nested.pdparams")),
    "paddle_fluid": (paddle_fluid, _fluid),
    "openai_npy": (openai_npy, lambda folder: openai_npy.write(folder, gpt())[0].parent),
    "numpy_npz": (numpy_npz, _written(numpy_npz.write, without_bfloat16)),
    "numpy_npz_deflated": (numpy_npz, _npz_deflated),
}
