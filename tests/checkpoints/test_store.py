"""Opening a checkpoint finds weights, config and layout, and says what is wrong before a model is built."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from plm.checkpoints.formats import openai_npy
from plm.checkpoints.saving import save_model
from plm.checkpoints.store import find_config, open_checkpoint, read_config_file
from plm.config import read_json, write_json
from plm.errors import CheckpointError, ConfigError
from tests.checkpoints.tiny_checkpoints import put, stored_config, stored_tensors
from tests.tiny_models import tiny_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return put(tmp_path / "tiny", stored_tensors("bert", "masked_lm"), stored_config("bert", "masked_lm"))


def test_a_folder_is_opened_with_everything_in_it(folder: Path) -> None:
    checkpoint = open_checkpoint(folder)
    assert (checkpoint.path, checkpoint.entry) == (folder, folder / "model.safetensors")
    assert (checkpoint.format.name, checkpoint.name_map.name) == ("safetensors", "huggingface")
    assert (checkpoint.config.model_type, checkpoint.architecture) == ("bert", "masked_lm")
    assert checkpoint.stored_heads() == ("masked_lm",)
    assert checkpoint.notes == ()


def test_a_file_is_opened_with_the_config_beside_it(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "freely_named.bin")
    assert open_checkpoint(folder / "freely_named.bin").config == open_checkpoint(folder / "freely_named.bin").config


def test_the_config_given_takes_the_place_of_the_one_beside_the_weights(folder: Path) -> None:
    other = stored_config("bert", "masked_lm", hidden_act="relu")
    write_json(folder / "other.json", other)
    assert open_checkpoint(folder, config=other).config.hidden_act == "relu"
    assert open_checkpoint(folder, config=folder / "other.json").config.hidden_act == "relu"
    assert open_checkpoint(folder).config.hidden_act == "gelu"


def test_weights_without_config_are_refused_with_the_way_out(folder: Path) -> None:
    (folder / "config.json").unlink()
    with pytest.raises(ConfigError, match=r"holds no config \(looked for config\.json, .* pass config="):
        open_checkpoint(folder)


def test_a_config_two_folders_up_is_not_taken(folder: Path) -> None:
    (folder / "weights").mkdir()
    shutil.move(folder / "model.safetensors", folder / "weights" / "model.safetensors")
    with pytest.raises(ConfigError, match="holds no config"):
        open_checkpoint(folder / "weights")


def test_openais_release_needs_no_config_and_takes_none_from_elsewhere(tmp_path: Path) -> None:
    save_model(tiny_model("openai-gpt", hidden_size=24, num_attention_heads=12), tmp_path / "gpt", layout="openai")
    write_json(tmp_path / "config.json", stored_config("bert"))
    (tmp_path / "gpt" / "config.json").unlink()
    config = open_checkpoint(tmp_path / "gpt").config
    assert (config.model_type, config.vocab_size, config.hidden_size) == ("openai-gpt", 31, 24)
    assert (config.num_hidden_layers, config.num_attention_heads, config.intermediate_size) == (2, 12, 20)
    assert (config.hidden_act, config.layer_norm_eps, config.max_position_embeddings) == ("gelu_new", 1e-5, 24)
    assert open_checkpoint(tmp_path / "gpt", overrides={"num_attention_heads": 3}).config.num_attention_heads == 3
    assert find_config(tmp_path / "gpt", tmp_path / "gpt", format_name=openai_npy.OPENAI_NPY.name)[0] == {
        "model_type": "openai-gpt"
    }


def test_a_folder_of_parameters_has_its_config_beside_it(checkpoint: Callable[[str], Path]) -> None:
    folder = checkpoint("palm_bert_fluid_dir")
    assert open_checkpoint(folder / "params").config == open_checkpoint(folder).config


def test_a_foreign_prefix_is_named(tmp_path: Path) -> None:
    tensors = {f"student.{name}": tensor for name, tensor in stored_tensors("bert", "masked_lm").items()}
    folder = put(tmp_path / "tiny", tensors, stored_config())
    with pytest.raises(
        CheckpointError, match=f"{len(tensors)} of {len(tensors)} would fit without 'student.' in front"
    ):
        open_checkpoint(folder)


def test_names_of_nothing_are_listed_with_the_known_layouts(tmp_path: Path) -> None:
    folder = put(tmp_path / "tiny", {"a.b": torch.zeros(1), "c": torch.zeros(1)}, stored_config())
    with pytest.raises(CheckpointError, match=r"its tensors are called a\.b, c, .* \(known layouts: .*huggingface"):
        open_checkpoint(folder)


def test_a_file_of_another_family_is_refused(tmp_path: Path) -> None:
    folder = put(tmp_path / "tiny", stored_tensors("openai-gpt"), stored_config("bert"))
    with pytest.raises(CheckpointError, match="no table of names fits this bert checkpoint"):
        open_checkpoint(folder)


def test_a_model_with_learned_relative_positions_is_refused(tmp_path: Path) -> None:
    name = "bert_encoder.layers.0.attention.attention._generate_relative_positions_embeddings.embeddings_table"
    tensors = {"bert_embedding_lookup.embedding_table": torch.zeros(31, 12), name: torch.zeros(33, 4)}
    folder = put(tmp_path / "tiny", tensors, stored_config())
    with pytest.raises(CheckpointError, match=f"cannot be loaded because of {name!r}: MindSpore's NEZHA learns"):
        open_checkpoint(folder)


def test_a_head_without_backbone_is_refused(tmp_path: Path) -> None:
    tensors = {name: t for name, t in stored_tensors("bert", "masked_lm").items() if name.startswith("cls.")}
    with pytest.raises(CheckpointError, match="holds no tensor of a bert backbone"):
        open_checkpoint(put(tmp_path / "tiny", tensors, stored_config()))


def test_a_file_without_tensors_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds no tensors"):
        open_checkpoint(put(tmp_path / "tiny", {}, stored_config()))


def test_the_config_alone_means_what_it_means_in_transformers(folder: Path, tmp_path: Path) -> None:
    assert read_config_file(folder) == open_checkpoint(folder).config
    assert read_config_file(folder / "config.json", {"num_labels": 3}).num_labels == 3
    gpt1 = put(tmp_path / "gpt1", stored_tensors("openai-gpt"), stored_config("openai-gpt"))
    assert read_json(gpt1 / "config.json")["afn"] == "gelu"
    assert read_config_file(gpt1).hidden_act == "gelu_new"
    with pytest.raises(ConfigError, match="holds no config"):
        read_config_file(tmp_path)
