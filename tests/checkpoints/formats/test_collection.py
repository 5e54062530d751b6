"""Every checkpoint file at hand reads, with the names, shapes and types that its own framework lists."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from plm.checkpoints.formats import FORMATS, find_weights
from plm.checkpoints.formats.binary import DTYPES
from plm.errors import CheckpointError
from tests.golden_files import checkpoints_root

ROOT = checkpoints_root()
FOLDERS = sorted(path for path in ROOT.iterdir() if path.is_dir() and path.name != "adversarial")
ADVERSARIAL = ROOT / "adversarial"

# What must not even be opened; the other cases are about configs, vocabularies or names and have sound weights.
REFUSED = [
    "st_truncated_data",
    "st_header_length_huge",
    "st_overlapping_offsets",
    "st_unknown_dtype",
    "bin_pickle_exec_zip",
    "pdparams_pickle_exec",
    "npy_object_array",
    "ms_truncated",
    "tf_index_truncated",
    "tf_data_truncated",
    "index_path_traversal",
    "index_absolute_path",
]


def entries(folder: Path) -> list[Path]:
    """All that can be read in a folder, states of optimizers among it."""
    found = [entry for _, container in FORMATS.items() for entry in container.find(folder)]
    return found + sorted(folder.glob("*.pdopt"))


def listed(folder: Path, entry: Path) -> list[tuple[Any, ...]] | None:
    """Name, shape and, where it is listed, type of every tensor, as the framework gave them."""
    for name in (f"variables_{entry.name}.json", "variables.json", "msgpack_names.json", "h5_datasets.json"):
        if (folder / name).is_file():
            rows = json.loads((folder / name).read_text())
            return [tuple(row) for row in (rows["datasets"] if isinstance(rows, dict) else rows)]
    for name in ("state_dict_names.json", "parameter_names.json"):
        if (folder / name).is_file() and entry.suffix != ".pdopt":
            rows = [tuple(row[:3]) for row in json.loads((folder / name).read_text())]
            has_slots = any(row[0].startswith("adam_m.") for row in rows)
            return rows if has_slots == entry.name.startswith("checkpoint_") else None
    if (folder / "tensor_names.json").is_file():
        rows = json.loads((folder / "tensor_names.json").read_text())
        return [(name, shape) for name, (_, _, shape) in rows.items()]
    return None


CASES = [
    pytest.param(folder, entry, id=f"{folder.name}-{entry.name}") for folder in FOLDERS for entry in entries(folder)
]


@pytest.mark.parametrize(("folder", "entry"), CASES)
def test_names_shapes_and_types_are_those_that_the_framework_lists(folder: Path, entry: Path) -> None:
    container, place = find_weights(entry)
    found = container.read(place)
    assert found
    rows = listed(folder, entry)
    if rows is None:
        return
    if entry.suffix == ".safetensors":  # such files leave out the copies of tied tensors
        rows = [row for row in rows if row[0] in found or ".decoder." not in row[0]]
    assert sorted((name, list(tensor.shape)) for name, tensor in found.items()) == sorted(
        (row[0], list(row[1])) for row in rows
    )
    for name, _, dtype in (row for row in rows if len(row) == 3):
        assert found[name].dtype is DTYPES[dtype.rpartition(".")[2].lower()]


@pytest.mark.parametrize(("folder", "entry"), CASES)
def test_every_value_is_finite(folder: Path, entry: Path) -> None:
    container, place = find_weights(entry)
    assert all(torch.isfinite(tensor).all() for tensor in container.read(place).values())


@pytest.mark.parametrize("name", REFUSED)
def test_hostile_files_are_refused_and_run_nothing(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not (ADVERSARIAL / name).is_dir():
        pytest.skip("needs the adversarial set")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=str(ADVERSARIAL / name)):
        find_weights(ADVERSARIAL / name)[0].read(find_weights(ADVERSARIAL / name)[1])
    assert not list(tmp_path.iterdir())
    assert not list(ADVERSARIAL.rglob("PLM_ADVERSARIAL*"))


def test_the_control_beside_the_hostile_files_reads() -> None:
    if not ADVERSARIAL.is_dir():
        pytest.skip("needs the adversarial set")
    container, entry = find_weights(ADVERSARIAL / "good_control")
    assert len(container.read(entry)) == 25
