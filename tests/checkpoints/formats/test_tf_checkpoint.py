"""TensorFlow checkpoints are read without TensorFlow, and written byte for byte as TensorFlow writes them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from plm.checkpoints.formats import find_weights
from plm.checkpoints.formats.binary import DTYPES
from plm.checkpoints.formats.tf_checkpoint import accepts, find, read, write
from plm.errors import CheckpointError
from tests.checkpoints.formats.mappings import is_mapped
from tests.checkpoints.formats.samples import FILES, tensors


@pytest.mark.parametrize(
    ("folder", "prefix"),
    [
        ("tf1_bert_pretraining", "bert_model.ckpt"),
        ("tf1_bert_pretraining", "model.ckpt-3"),
        ("tf1_nezha_classifier", "model.ckpt-100"),
    ],
)
def test_rewriting_a_checkpoint_of_tensorflow_gives_the_same_bytes(
    folder: str, prefix: str, checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    original = checkpoint(folder)
    written = write(tmp_path, read(original / prefix, verify=True), name=prefix)
    assert [path.name for path in written] == [f"{prefix}.data-00000-of-00001", f"{prefix}.index"]
    for path in written:
        assert path.read_bytes() == (original / path.name).read_bytes()


def test_names_and_shapes_are_those_that_tensorflow_lists(checkpoint: Callable[[str], Path]) -> None:
    folder = checkpoint("tf1_bert_pretraining")
    for prefix in ("bert_model.ckpt", "model.ckpt-3"):
        listed = json.loads((folder / f"variables_{prefix}.json").read_text())
        assert [[name, list(tensor.shape)] for name, tensor in read(folder / prefix).items()] == listed


def test_data_in_several_files_are_read_and_strings_skipped() -> None:
    read_back = read(FILES / "sharded.ckpt", verify=True)
    with np.load(FILES / "sharded.npz") as expected:
        assert read_back.keys() == set(expected)
        assert all(np.array_equal(read_back[name].numpy(), expected[name]) for name in expected)


def test_tensors_are_mapped(tmp_path: Path) -> None:
    data, _ = write(tmp_path, tensors())
    read_back = read(tmp_path / "bert_model.ckpt")
    assert is_mapped(read_back["a/w"], data)


@pytest.mark.parametrize(
    ("prefix", "reason"),
    [("sliced.ckpt", "in slices"), ("object.ckpt", "object checkpoint"), ("v1.ckpt", "V1 format")],
)
def test_other_kinds_are_refused_with_what_to_do(prefix: str, reason: str) -> None:
    assert accepts(FILES / prefix)
    with pytest.raises(CheckpointError, match=f"{reason}.*tf.compat.v1.train.Saver"):
        read(FILES / prefix)


@pytest.mark.parametrize("name", ["bert_model.ckpt", "bert_model.ckpt.index", "bert_model.ckpt.data-00000-of-00001"])
def test_the_prefix_and_each_of_its_files_name_a_checkpoint(name: str, tmp_path: Path) -> None:
    write(tmp_path, tensors())
    container, entry = find_weights(tmp_path / name)
    assert container.name == "tf_checkpoint"
    assert container.read(entry).keys() == tensors().keys()


def test_the_release_comes_first_and_then_the_latest_step(tmp_path: Path) -> None:
    for name in ("model.ckpt-9", "model.ckpt-100", "model.ckpt"):
        write(tmp_path, tensors(), name=name)
    # as TensorFlow leaves it: the path of another machine, never followed
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "/home/user/models/model.ckpt-9"\n')
    assert [path.name for path in find(tmp_path)] == ["model.ckpt-100", "model.ckpt-9", "model.ckpt"]
    write(tmp_path, tensors())
    assert find(tmp_path)[0].name == "bert_model.ckpt"


def test_two_checkpoints_of_equal_rank_are_not_guessed_between(tmp_path: Path) -> None:
    write(tmp_path, tensors(), name="one.ckpt")
    write(tmp_path, tensors(), name="two.ckpt")
    with pytest.raises(CheckpointError, match=r"one\.ckpt, two\.ckpt"):
        find(tmp_path)


def test_a_changed_weight_is_noticed_when_checksums_are_asked_for(tmp_path: Path) -> None:
    data, _ = write(tmp_path, tensors())
    content = bytearray(data.read_bytes())
    content[3] ^= 1
    data.write_bytes(content)
    read(tmp_path / "bert_model.ckpt")
    with pytest.raises(CheckpointError, match="checksum of tensor 'a/w'"):
        read(tmp_path / "bert_model.ckpt", verify=True)


def test_missing_and_short_data_files_are_named(tmp_path: Path) -> None:
    data, index = write(tmp_path, tensors())
    data.write_bytes(data.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"data-00000-of-00001: bytes"):
        read(index)
    data.unlink()
    with pytest.raises(CheckpointError, match=r"data-00000-of-00001: .*No such file"):
        read(index)


def test_data_files_of_an_earlier_save_are_deleted(tmp_path: Path) -> None:
    for path in FILES.glob("sharded.ckpt.*"):
        shutil.copy(path, tmp_path / path.name)
    write(tmp_path, tensors(), name="sharded.ckpt")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["sharded.ckpt.data-00000-of-00001", "sharded.ckpt.index"]


def test_every_dtype_and_odd_shapes_survive(tmp_path: Path) -> None:
    what = {name: (torch.arange(6) % 2).to(dtype) for name, dtype in DTYPES.items()}
    what |= {"none": torch.zeros(0, 3), "scalar": torch.tensor(2.5), "ü/ß": torch.ones(1, 1, 1)}
    write(tmp_path, what)
    read_back = read(tmp_path / "bert_model.ckpt", verify=True)
    assert list(read_back) == sorted(what, key=str.encode)
    for name, tensor in what.items():
        assert read_back[name].dtype == tensor.dtype
        assert torch.equal(read_back[name], tensor)
