"""Tensors fill gaps of a config, and contradict a wrong one before it can ask for memory."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from plm.checkpoints.sizes import MOST, backbone_shapes, missing_tensors
from plm.checkpoints.store import Checkpoint, open_checkpoint
from plm.errors import CheckpointError
from tests.checkpoints.tiny_checkpoints import put, stored_config, stored_tensors
from tests.tiny_models import FAMILY_NAMES, tiny_config, tiny_model

WORDS = "bert.embeddings.word_embeddings.weight"


def opened(folder: Path, *heads: str, family: str = "bert", **config: Any) -> Checkpoint:
    """A tiny checkpoint with some keys of its config changed, or taken out (None)."""
    content = stored_config(family, *heads) | config
    content = {name: value for name, value in content.items() if value is not None}
    return open_checkpoint(put(folder, stored_tensors(family, *heads), content))


@pytest.mark.parametrize("field", ["max_position_embeddings", "type_vocab_size", "intermediate_size"])
def test_sizes_that_a_config_leaves_out_come_from_tensors(field: str, tmp_path: Path) -> None:
    config = opened(tmp_path, **{field: None}).config
    assert getattr(config, field) == getattr(tiny_config("bert"), field)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("num_hidden_layers", 3, "holds 2 layers, the config says num_hidden_layers 3$"),
        ("num_hidden_layers", 1, "holds 2 layers, the config says num_hidden_layers 1; `plm shrink --keep-layers`"),
        ("hidden_size", 24, r"word_embeddings.weight: the config asks for numbers of shape \(31, 24\)"),
        ("vocab_size", 40, r"shape \(40, 12\) \(embeddings.word.weight\), found \(31, 12\), float32"),
        ("intermediate_size", 21, r"layer\.0\.intermediate\.dense\.weight: .* shape \(21, 12\)"),
        ("max_position_embeddings", 512, r"position_embeddings.weight: .* \(512, 12\) .* found \(24, 12\)"),
        ("type_vocab_size", 3, r"token_type_embeddings.weight: .* \(3, 12\)"),
    ],
)
def test_a_config_that_contradicts_the_tensors_is_refused(field: str, value: int, message: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=message):
        opened(tmp_path, **{field: value})


@pytest.mark.parametrize(
    "field", ["vocab_size", "hidden_size", "num_hidden_layers", "intermediate_size", "max_position_embeddings"]
)
@pytest.mark.parametrize("size", [3 * 10**9, 3 * 10**12, 3 * 10**30])
def test_hostile_sizes_ask_for_no_memory(field: str, size: int, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError):
        opened(tmp_path, **{field: size})


def test_hostile_sizes_of_constants_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="max_relative_position: expected at most 65536, got 1000000000"):
        opened(tmp_path, family="nezha", max_relative_position=10**9)
    assert MOST["max_relative_position"] >= 127


def test_rows_that_nvidia_pads_to_are_kept(tmp_path: Path) -> None:
    tensors = stored_tensors("bert", vocab_size=40)
    checkpoint = open_checkpoint(put(tmp_path, tensors, stored_config("bert") | {"vocab_size": 37}))
    assert checkpoint.config.vocab_size == 40
    assert checkpoint.notes == ("the word embeddings have 40 rows, the config says vocab_size 37: all are kept",)


def test_classes_are_counted_where_the_config_is_silent(tmp_path: Path) -> None:
    tensors = stored_tensors("bert", "sequence_classification", id2label={i: str(i) for i in range(5)})
    config = stored_config("bert", "sequence_classification")
    assert open_checkpoint(put(tmp_path, tensors, config)).config.num_labels == 5
    assert open_checkpoint(tmp_path, overrides={"num_labels": 3}).config.num_labels == 3
    assert opened(tmp_path, "sequence_classification").config.id2label is None  # two say nothing
    assert opened(tmp_path, "multiple_choice").config.id2label is None  # a classifier, but not of labels


@pytest.mark.parametrize("fit", ["shared", "per_layer", "both"])
def test_fit_layers_are_found_where_the_config_is_silent(fit: str, tmp_path: Path) -> None:
    tensors = stored_tensors("tinybert", "hidden_projection", fit=fit)
    config = stored_config("tinybert", "hidden_projection")
    silent = {name: value for name, value in config.items() if name not in ("fit", "fit_size")}
    found = open_checkpoint(put(tmp_path, tensors, silent)).config
    assert found == tiny_config("tinybert", fit=fit)
    with pytest.raises(CheckpointError, match="the fit layers have 14 rows, the config says fit_size 10000"):
        open_checkpoint(put(tmp_path, tensors, {**silent, "fit_size": 10000}))


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_shapes_are_those_of_the_real_backbone(family: str) -> None:
    model = tiny_model(family)
    real = {name: tuple(p.shape) for name, p in model.backbone.named_parameters() if not name.startswith("blocks.1")}
    shapes = backbone_shapes(model.config)
    assert {name.replace("{n}", "0"): shape for name, shape in shapes.items()} == real


def test_missing_tensors_are_named_in_both_languages(tmp_path: Path) -> None:
    tensors = stored_tensors("bert", "masked_lm")
    lost = "bert.encoder.layer.1.output.dense.bias"
    del tensors[lost]
    checkpoint = open_checkpoint(put(tmp_path, tensors, stored_config("bert", "masked_lm")))
    assert missing_tensors(checkpoint.config, checkpoint.source) == {"blocks.1.feed_forward.down.bias": lost}


def test_a_table_without_a_name_for_a_tensor_lacks_it(tmp_path: Path) -> None:
    checkpoint = opened(tmp_path, norm="pre")
    assert missing_tensors(checkpoint.config, checkpoint.source) == {
        "final_norm.weight": "encoder.final_norm.weight",
        "final_norm.bias": "encoder.final_norm.bias",
    }


def test_a_tensor_of_another_number_of_dimensions_is_named(tmp_path: Path) -> None:
    tensors = stored_tensors("openai-gpt", "causal_lm")
    name = "transformer.h.0.attn.c_attn.weight"
    tensors[name] = torch.zeros(12)
    with pytest.raises(CheckpointError, match=re.escape(name) + r": shape \(12,\) cannot be read"):
        open_checkpoint(put(tmp_path, tensors, stored_config("openai-gpt", "causal_lm")))
