"""Tensors are found whatever training frameworks put in front of their names, and none is taken for another."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from plm.checkpoints.maps import MAPS
from plm.checkpoints.name_map import expand
from plm.checkpoints.saving import TARGETS, model_tensors
from plm.checkpoints.source import Source
from plm.errors import CheckpointError
from tests.tiny_models import tiny_model

TABLE = MAPS.get("huggingface")
WORDS = "bert.embeddings.word_embeddings.weight"


def stored(*heads: str, family: str = "bert") -> dict[str, Tensor]:
    return model_tensors(tiny_model(family, *heads), TARGETS.get("huggingface"), "huggingface")


def has_whole_backbone(source: Source, layers: int = 2) -> bool:
    rules = [rule for rule in TABLE.parts["backbone"] if rule.names[0] not in ("final_norm.weight", "final_norm.bias")]
    return all(source.find("backbone", rule, number) is not None for rule, number in expand(rules, layers))


@pytest.mark.parametrize("wrapper", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "model."])
def test_wrappers_of_training_frameworks_are_taken_off(wrapper: str) -> None:
    source = Source({wrapper + name: tensor for name, tensor in stored("pretraining").items()}, TABLE)
    assert source.wrapper == wrapper
    assert has_whole_backbone(source)
    assert source.has("language_model")
    assert source.original[WORDS] == wrapper + WORDS


def test_a_wrapper_need_not_be_on_every_tensor() -> None:
    tensors = {f"module.{name}": tensor for name, tensor in stored("pretraining").items()}
    source = Source({**tensors, "optimizer.step": torch.ones(1), "epoch": torch.ones(1)}, TABLE)
    assert source.wrapper == "module."
    assert has_whole_backbone(source)
    assert "optimizer.step" in source


@pytest.mark.parametrize("changed", [lambda name: "LayerNorm" in name, lambda name: "layer.1" in name])
def test_names_with_and_without_prefix_may_be_mixed(changed: Callable[[str], bool]) -> None:
    tensors = stored("pretraining")
    mixed = {name.removeprefix("bert.") if changed(name) else name: tensor for name, tensor in tensors.items()}
    assert set(mixed) != set(tensors)
    source = Source(mixed, TABLE)
    assert source.prefix("backbone") == "bert."
    assert has_whole_backbone(source)


def test_the_more_frequent_of_two_prefixes_comes_first() -> None:
    tensors = stored("masked_lm")
    other = torch.zeros_like(tensors[WORDS])
    source = Source({**tensors, WORDS.removeprefix("bert."): other}, TABLE)
    (rule,) = (rule for rule in TABLE.parts["backbone"] if rule.names == ("embeddings.word.weight",))
    assert source.find("backbone", rule, 0) == WORDS


def test_one_name_for_two_different_tensors_is_refused() -> None:
    tensors = {WORDS: torch.zeros(2, 2), f"module.{WORDS}": torch.ones(2, 2)}
    with pytest.raises(CheckpointError, match="are the same tensor with other values"):
        Source(tensors, TABLE)
    Source({name: torch.zeros(2, 2) for name in tensors}, TABLE)


def test_the_usual_spelling_wins_over_an_alias() -> None:
    tensors = {"cls.predictions.decoder.bias": torch.zeros(2), "cls.predictions.bias": torch.ones(2)}
    rule = next(rule for rule in TABLE.parts["language_model"] if rule.theirs == "cls.predictions.bias")
    assert Source(tensors, TABLE).find("language_model", rule, 0) == "cls.predictions.bias"
    del tensors["cls.predictions.bias"]
    assert Source(tensors, TABLE).find("language_model", rule, 0) == "cls.predictions.decoder.bias"


def test_a_hostile_number_of_a_block_is_no_block() -> None:
    hostile = "bert.encoder.layer.99999999.output.dense.bias"
    source = Source({**stored(), hostile: torch.zeros(1)}, TABLE)
    assert source.count("backbone") == 2
    assert hostile in source


def test_any_task_name_may_stand_before_heads_of_palm() -> None:
    source = Source({"my_task.cls_out_w": torch.zeros(2, 2), "my_task.cls_out_b": torch.zeros(2)}, MAPS.get("palm"))
    assert source.prefix("classifier") == "my_task."
    assert source.has("classifier")


def test_copies_do_not_make_a_part() -> None:
    copy = {"cls.predictions.decoder.weight": torch.zeros(3, 2)}
    source = Source(copy, TABLE)
    assert not source.has("language_model")
    assert source.find_copy("backbone.embeddings.word.weight") == "cls.predictions.decoder.weight"
    assert source.find_copy("backbone.embeddings.position.weight") is None


def test_what_was_taken_is_remembered() -> None:
    source = Source(stored(), TABLE)
    name = next(iter(source))
    source.peek(name)
    assert not source.used
    source.take(name)
    assert source.used == {name}
