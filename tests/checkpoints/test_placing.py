"""Tables of names alone tell where tensors belong, whatever their values and numbers."""

from __future__ import annotations

import torch

from plm.checkpoints.maps import MAPS
from plm.checkpoints.placing import missing_names, place_tensors, plain_tensors
from plm.checkpoints.saving import TARGETS, model_tensors
from plm.checkpoints.source import Source
from tests.tiny_models import tiny_model


def source_of(family: str, *heads: str, **changes: torch.Tensor | None) -> Source:
    """The names of a saved model; a change of None takes a tensor out."""
    tensors = model_tensors(tiny_model(family, *heads), TARGETS.get("huggingface"), "huggingface")
    tensors |= {name: tensor for name, tensor in changes.items() if tensor is not None}
    return Source(
        {name: tensor for name, tensor in tensors.items() if changes.get(name, tensor) is not None},
        MAPS.get("huggingface-gpt1" if family == "openai-gpt" else "huggingface"),
    )


def test_every_saved_tensor_is_a_weight_of_one_part() -> None:
    placed = place_tensors(source_of("bert", "pretraining"), ("pretraining",))
    assert {tensor.role for tensor in placed} == {"weight"}
    assert {tensor.part for tensor in placed} == {"backbone", "language_model", "next_sentence"}
    assert len({(tensor.part, name) for tensor in placed for name in tensor.ours}) == len(placed)


def test_a_fused_matrix_fills_three_of_ours() -> None:
    placed = {tensor.name: tensor for tensor in place_tensors(source_of("openai-gpt"), ())}
    fused = placed["h.1.attn.c_attn.weight"]
    assert fused.ours == tuple(f"blocks.1.attention.{name}.weight" for name in ("query", "key", "value"))
    assert fused.place == f"backbone: {', '.join(fused.ours)}"


def test_unknown_and_ignored_tensors_say_why() -> None:
    strangers = {"surprise": torch.zeros(2, dtype=torch.int64), "embeddings.position_ids": torch.arange(4)}
    placed = {tensor.name: tensor for tensor in place_tensors(source_of("bert", **strangers), ())}
    assert placed["surprise"].place == "unknown: no rule has this name"
    assert (placed["surprise"].dtype, placed["surprise"].size, placed["surprise"].numel) == ("int64", 16, 2)
    assert placed["embeddings.position_ids"].role == "ignored"
    assert placed["embeddings.position_ids"].place.startswith("ignored: a buffer")


def test_only_what_other_layers_have_is_missed() -> None:
    assert missing_names(source_of("bert")) == []
    lost = "encoder.layer.0.output.dense.bias"
    assert missing_names(source_of("bert", **{lost: None})) == [lost]
    assert len(missing_names(source_of("bert"), layers=3)) == 16


def test_a_claim_of_a_million_layers_asks_for_no_more_than_there_could_be() -> None:
    source = source_of("bert", **{"encoder.layer.999999.output.dense.bias": torch.zeros(1)})
    assert missing_names(source) == []
    assert len(missing_names(source, layers=10**9)) < 16 * 100
    assert place_tensors(source, ())[-1].role == "unknown"


def test_without_a_table_all_are_unknown() -> None:
    assert [tensor.role for tensor in plain_tensors({"a": torch.ones(1), "b": torch.ones(2)})] == ["unknown"] * 2
