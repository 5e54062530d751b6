"""Heads are told by the tensors that are there, and where these could mean several, by the config."""

from __future__ import annotations

from pathlib import Path

import pytest

from plm.checkpoints.store import open_checkpoint
from tests.checkpoints.tiny_checkpoints import put, stored_config, stored_tensors
from tests.tiny_models import FAMILIES, FAMILY_NAMES


@pytest.mark.parametrize(
    ("family", "head"), [(family, head) for family in FAMILY_NAMES for head in FAMILIES.get(family).heads]
)
def test_the_head_that_was_saved_is_found(family: str, head: str, tmp_path: Path) -> None:
    put(tmp_path, stored_tensors(family, head), stored_config(family, head))
    assert open_checkpoint(tmp_path).stored_heads() == (head,)


@pytest.mark.parametrize(
    ("family", "saved", "found"),
    [
        ("bert", ("pretraining",), ("pretraining",)),
        ("bert", ("masked_lm",), ("masked_lm",)),
        ("bert", ("masked_lm", "sequence_classification"), ("masked_lm", "sequence_classification")),
        ("bert", ("token_classification",), ("sequence_classification",)),
        ("bert", ("next_sentence", "question_answering"), ("next_sentence", "question_answering")),
        ("bert", (), ()),
        ("tinybert", ("hidden_projection", "masked_lm"), ("masked_lm", "hidden_projection")),
        ("openai-gpt", (), ("causal_lm",)),
        ("openai-gpt", ("double_heads",), ("double_heads",)),
        ("openai-gpt", ("sequence_classification",), ("sequence_classification",)),
    ],
)
def test_without_a_named_head_all_stored_parts_are_used(
    family: str, saved: tuple[str, ...], found: tuple[str, ...], tmp_path: Path
) -> None:
    config = stored_config(family, *saved)
    del config["architectures"]
    put(tmp_path, stored_tensors(family, *saved), config)
    assert open_checkpoint(tmp_path).stored_heads() == found


def test_a_language_model_of_causal_attention_is_a_causal_one(tmp_path: Path) -> None:
    config = stored_config("bert", "masked_lm") | {"is_decoder": True, "architectures": None}
    put(tmp_path, stored_tensors("bert", "masked_lm"), config)
    assert open_checkpoint(tmp_path).stored_heads() == ("causal_lm",)


def test_a_named_head_that_is_not_stored_is_not_there(tmp_path: Path) -> None:
    put(tmp_path, stored_tensors("bert", "masked_lm"), stored_config("bert", "sequence_classification"))
    assert open_checkpoint(tmp_path).stored_heads() == ("masked_lm",)


def test_the_named_head_comes_first(tmp_path: Path) -> None:
    saved = ("sequence_classification", "masked_lm")
    put(tmp_path, stored_tensors("bert", *saved), stored_config("bert", *saved))
    assert open_checkpoint(tmp_path).stored_heads() == saved
