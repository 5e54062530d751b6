"""Folders of PaddlePaddle 1: every file is a parameter or is passed over for a reason."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from plm.checkpoints.formats import find_weights
from plm.checkpoints.formats.paddle_fluid import accepts, find, read
from plm.checkpoints.formats.protobuf import bytes_field
from plm.errors import CheckpointError
from tests.checkpoints.formats.samples import lod_tensor


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("word_embedding", "pos_embedding"):
        (tmp_path / name).write_bytes(lod_tensor(torch.ones(3, 4)))
    return tmp_path


def test_names_and_shapes_are_those_that_paddle_lists(checkpoint: Callable[[str], Path]) -> None:
    original = checkpoint("palm_bert_fluid_dir")
    listed = json.loads((original / "parameter_names.json").read_text())
    container, entry = find_weights(original)
    assert (container.name, entry.name) == ("paddle_fluid", "params")
    found = [[name, list(tensor.shape)] for name, tensor in container.read(entry).items()]
    assert sorted(found) == sorted(listed)


def test_parameters_may_lie_beside_the_config(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    original = checkpoint("palm_bert_fluid_dir")
    shutil.copytree(original / "params", tmp_path / "flat")
    for name in ("bert_config.json", "vocab.txt", "README.md"):
        shutil.copy(original / name, tmp_path / "flat" / name)
    (tmp_path / "flat/__model__").write_bytes(b"a program")
    (tmp_path / "flat/.hidden").write_bytes(b"a cache")
    assert find(tmp_path / "flat") == [tmp_path / "flat"]
    assert read(tmp_path / "flat").keys() == read(original / "params").keys()


@pytest.mark.parametrize(("kind", "dtype"), [(0, torch.bool), (2, torch.int32), (3, torch.int64), (4, torch.float16)])
def test_other_types_and_levels_are_read(kind: int, dtype: torch.dtype, folder: Path) -> None:
    value = (torch.arange(6) % 2).reshape(2, 3).to(dtype)
    (folder / "x.w_0").write_bytes(lod_tensor(value, kind=kind, levels=(bytes(16), bytes(8))))
    assert torch.equal(read(folder)["x.w_0"], value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"not a tensor at all", "LoDTensor|announced"),
        (lod_tensor(torch.ones(2))[:-1], "takes 8 bytes"),
        (lod_tensor(torch.ones(2)) + b"x", "takes 8 bytes"),
        (lod_tensor(torch.ones(2), kind=19), "unknown Paddle data type 19"),
        (struct.pack("<IQ", 0, 2**63), "announced"),
        (struct.pack("<IQQ", 0, 1, 2**63), "announced"),
        (struct.pack("<IQII", 0, 0, 1, 0), "versions"),
        (struct.pack("<IQII", 0, 0, 0, 2) + bytes_field(1, b""), "number is expected"),
    ],
)
def test_damaged_parameters_are_named(content: bytes, reason: str, folder: Path) -> None:
    (folder / "x.w_0").write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"x\.w_0: .*({reason})"):
        read(folder)


def test_a_folder_without_the_embeddings_is_not_one(tmp_path: Path) -> None:
    (tmp_path / "word_embedding").write_bytes(lod_tensor(torch.ones(2)))
    assert not accepts(tmp_path)
    with pytest.raises(CheckpointError, match="word_embedding and pos_embedding"):
        read(tmp_path)
