"""Inspections name every tensor, and say as much as can be said of what cannot be loaded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from plm.checkpoints.formats.safetensors import read, write
from plm.checkpoints.inspection import inspect, readable_size
from plm.checkpoints.loading import load_model
from plm.config import read_json, write_json
from plm.errors import CheckpointError
from tests.golden_files import checkpoint, checkpoints_root
from tests.tiny_folders import tiny_folder
from tests.tiny_models import FAMILY_NAMES

FOLDERS = sorted(path.parent for path in checkpoints_root().glob("*/golden.npz"))

# Put there by the fixture, to be reported.
STRANGERS = {"some_other_head.weight", "optimizer.step"}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_tensor_of_every_known_checkpoint_has_a_place_or_a_reason(folder: Path) -> None:
    found = inspect(folder)
    assert found.problem is None
    assert set(found.extra) <= STRANGERS
    assert not found.missing
    assert all(tensor.part for tensor in found.tensors if tensor.role == "weight")


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_sizes_are_those_of_the_loaded_model(family: str, tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "model", family, "sequence_classification")
    found, (model, _) = inspect(folder), load_model(folder)
    assert (found.model_type, found.layout is not None, found.format) == (family, True, "safetensors")
    assert found.heads == ("sequence_classification",)
    assert found.parameters == model.num_parameters()
    assert found.size == sum(p.numel() * p.dtype.itemsize for p in model.parameters())
    assert found.dtypes == {"float32": len(found.tensors)}
    assert found.config["hidden_size"] == model.config.hidden_size


def test_a_tied_copy_does_not_count_as_parameters(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "model", "bert", "masked_lm")
    tensors = read(folder / "model.safetensors")
    before = inspect(folder).parameters
    words = tensors["bert.embeddings.word_embeddings.weight"]
    write(folder, {**tensors, "cls.predictions.decoder.weight": words.clone()})
    found = inspect(folder)
    assert found.parameters == before
    assert [tensor.name for tensor in found.tensors if tensor.role == "copy"] == ["cls.predictions.decoder.weight"]


def test_a_missing_tensor_is_named_as_the_file_would_name_it(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "model", "nezha", "masked_lm")
    tensors = read(folder / "model.safetensors")
    lost = next(name for name in tensors if name.endswith("encoder.layer.1.attention.self.key.weight"))
    write(folder, {name: tensor for name, tensor in tensors.items() if name != lost})
    found = inspect(folder)
    assert found.problem is not None
    assert lost in found.problem
    assert found.missing == (lost,)


def test_missing_layers_are_listed(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "model", "bert")
    write_json(folder / "config.json", {**read_json(folder / "config.json"), "num_hidden_layers": 3})
    found = inspect(folder)
    assert found.problem is not None
    assert "num_hidden_layers 3" in found.problem
    assert found.missing
    assert all("encoder.layer.2." in name for name in found.missing)


def test_strangers_and_ignored_tensors_are_told_apart(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "model", "bert")
    tensors = read(folder / "model.safetensors")
    write(folder, {**tensors, "embeddings.position_ids": torch.arange(3), "surprise": torch.ones(2)})
    found = inspect(folder)
    assert found.extra == ("surprise",)
    assert set(found.ignored) == {"embeddings.position_ids"}
    assert "buffer" in found.ignored["embeddings.position_ids"]


@pytest.mark.parametrize(
    ("case", "word", "knows_family"),
    [
        ("st_truncated_data", "not a valid safetensors file", True),
        ("config_unknown_model_type", "bert2000", False),
        ("config_missing_fields", "hidden_size", True),
        ("config_negative_size", "num_hidden_layers", True),
        ("weights_shape_mismatch", "(9, 8)", True),
        ("weights_nan", "word_embeddings", True),
        ("weights_no_key_matches", "xyz.", True),
        ("index_path_traversal", "plain names", True),
        ("npy_object_array", "Python objects", True),
        ("bin_pickle_exec_zip", "no code", True),
    ],
)
def test_what_cannot_be_loaded_is_described_with_the_reason(case: str, word: str, knows_family: bool) -> None:
    folder = checkpoint("adversarial") / case
    if not folder.is_dir():
        pytest.skip(f"no case {case!r} among the committed ones")
    found = inspect(folder)
    assert found.problem is not None
    assert word in found.problem
    assert (found.model_type is not None) is knows_family
    assert found.format is not None
    assert found.lines()[-1].startswith("cannot be loaded: ")


def test_nothing_there_is_an_error_with_the_nearest_name(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    with pytest.raises(CheckpointError, match="did you mean 'model'"):
        inspect(tmp_path / "modell")


def test_lines_count_tensors_by_part_or_list_them_all(tmp_path: Path) -> None:
    found = inspect(tiny_folder(tmp_path / "model", "bert", "masked_lm"))
    short, long = "\n".join(found.lines()), "\n".join(found.lines(every_tensor=True))
    assert "  backbone: " in short
    assert "bert.encoder.layer.1" not in short
    assert all(tensor.name in long for tensor in found.tensors)
    assert short.endswith("can be loaded")


def test_the_account_is_plain_json(tmp_path: Path) -> None:
    found = inspect(tiny_folder(tmp_path / "model", "tinybert", "pretraining", "hidden_projection"))
    values = json.loads(json.dumps(found.to_dict()))
    assert values["heads"] == ["pretraining", "hidden_projection"]
    assert values["parameters"] == found.parameters
    assert {tensor["name"] for tensor in values["tensors"]} == {tensor.name for tensor in found.tensors}


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1023, "1023 B"), (123872, "121.0 KiB"), (5 * 2**30, "5.0 GiB")]
)
def test_sizes_are_readable(count: int, text: str) -> None:
    assert readable_size(count) == text
