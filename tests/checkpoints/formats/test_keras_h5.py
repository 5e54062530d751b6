"""HDF5 as h5py writes it by default is read exactly; everything else is refused by name."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from plm.checkpoints.formats.keras_h5 import accepts, find, read
from plm.errors import CheckpointError
from tests.checkpoints.formats.mappings import is_mapped
from tests.checkpoints.formats.samples import FILES


def test_names_and_shapes_are_those_that_h5py_lists(checkpoint: Callable[[str], Path]) -> None:
    folder = checkpoint("tf2_h5_bert_sequence_classification")
    listed = json.loads((folder / "h5_datasets.json").read_text())["datasets"]
    assert [[name, list(tensor.shape)] for name, tensor in read(folder / "tf_model.h5").items()] == [
        [name, shape] for name, shape, _ in listed
    ]


def test_contiguous_datasets_are_mapped(checkpoint: Callable[[str], Path]) -> None:
    file = checkpoint("tf2_h5_bert_sequence_classification") / "tf_model.h5"
    assert all(is_mapped(tensor, file) for tensor in read(file).values())


def test_types_byte_orders_chunks_and_filters_equal_h5py() -> None:
    read_back = {name: tensor for name, tensor in read(FILES / "kinds.h5").items() if not name.startswith("links/")}
    with np.load(FILES / "kinds.npz") as expected:
        assert read_back.keys() == {name.replace("|", "/") for name in expected}
        for name in expected:
            tensor = read_back[name.replace("|", "/")]
            assert str(tensor.dtype) == f"torch.{expected[name].dtype}"
            assert np.array_equal(tensor.numpy(), expected[name])


def test_large_groups_and_long_headers_are_read_whole() -> None:
    links = {name: tensor for name, tensor in read(FILES / "kinds.h5").items() if name.startswith("links/")}
    assert links.keys() == {f"links/x{i}" for i in range(300)}
    assert {tensor.item() for tensor in links.values()} == {7.0}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("superblock3", "superblock version 3"),
        ("ordered", "not of version 1"),
        ("soft_link", "symbolic link"),
        ("circle", "groups that contain each other"),
        ("external", "in other files"),
        ("lzf", r"filters \[32000\]"),
        ("sparse", "1 of 4 chunks"),
        ("unwritten", "never written"),
        ("named_type", "neither a dataset nor a group"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(name: str, reason: str) -> None:
    assert accepts(FILES / f"{name}.h5")
    with pytest.raises(CheckpointError, match=rf"{name}\.h5: .*{reason}"):
        read(FILES / f"{name}.h5")


def test_an_object_header_that_continues_in_itself_ends(tmp_path: Path) -> None:
    content = bytearray((FILES / "tiny.h5").read_bytes())
    root = int.from_bytes(content[64:72], "little")  # address of the root group's header in the superblock
    loop = b"\x10\0" + (16).to_bytes(2, "little") + bytes(4) + (root + 16).to_bytes(8, "little")
    content[root + 16 : root + 40] = loop + (24).to_bytes(8, "little")
    content[root + 2 : root + 4] = b"\xff\xff"
    (tmp_path / "x.h5").write_bytes(content)
    start = time.process_time()
    with pytest.raises(CheckpointError):
        read(tmp_path / "x.h5")
    assert time.process_time() - start < 1


def test_the_usual_name_comes_first(tmp_path: Path) -> None:
    shutil.copy(FILES / "tiny.h5", tmp_path / "weights.h5")
    assert find(tmp_path) == [tmp_path / "weights.h5"]
    shutil.copy(FILES / "tiny.h5", tmp_path / "tf_model.h5")
    assert find(tmp_path) == [tmp_path / "tf_model.h5", tmp_path / "weights.h5"]
