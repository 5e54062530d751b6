"""A comparison of models finds every difference that there is, and none that there is not."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from plm.checkpoints.verification import compare, compare_tensors
from tests.tiny_models import FAMILY_NAMES, tiny_model

HEADS = {
    "bert": ("pretraining", "sequence_classification", "multiple_choice"),
    "nezha": ("masked_lm", "question_answering"),
    "openai-gpt": ("double_heads", "sequence_classification"),
    "tinybert": ("pretraining", "hidden_projection"),
}


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_a_model_equals_its_copy_with_every_head(family: str) -> None:
    model = tiny_model(family, *HEADS[family]).eval()
    comparison = compare(model, copy.deepcopy(model))
    assert comparison.is_equal
    assert comparison.largest == 0.0
    assert {name.split(".")[0] for name in comparison.differences} == set(HEADS[family])


def test_a_bare_backbone_is_compared_too() -> None:
    model = tiny_model("bert").eval()
    assert set(compare(model, copy.deepcopy(model)).differences) == {"last_hidden_state", "pooler_output"}


def test_one_changed_bit_is_found_even_where_no_output_shows_it() -> None:
    model = tiny_model("bert", "masked_lm").eval()
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.backbone.blocks[1].attention.query.bias[0] = -0.0
        model.backbone.blocks[1].attention.query.bias[0] = 0.0
    comparison = compare(model, other)
    assert comparison.unequal == ("backbone.blocks.1.attention.query.bias",)
    assert comparison.largest == 0.0
    assert not comparison.is_equal


def test_the_same_weights_under_another_config_are_another_model() -> None:
    model, other = (tiny_model("bert", "masked_lm", hidden_act=act).eval() for act in ("gelu", "gelu_new"))
    comparison = compare(model, other)
    assert not comparison.unequal
    assert comparison.largest > 1e-6
    assert not comparison.is_equal


def test_wider_numbers_of_the_same_value_are_equal() -> None:
    model = tiny_model("bert").eval().to(torch.bfloat16)
    assert compare_tensors(model, copy.deepcopy(model).float()) == []


def test_tensors_that_only_one_model_has_are_named() -> None:
    assert compare_tensors(tiny_model("bert"), tiny_model("bert", pooler=False)) == [
        "backbone.pooler.dense.weight",
        "backbone.pooler.dense.bias",
    ]


def test_nan_is_the_largest_difference() -> None:
    model = tiny_model("bert").eval()
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.backbone.pooler.dense.bias[0] = math.nan
    assert compare(model, other).largest == math.inf
