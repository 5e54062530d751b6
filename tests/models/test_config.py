"""A model config cannot be made with sizes, names or values that no model could have."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest

from plm.config import from_dict, to_dict
from plm.errors import ConfigError
from plm.models.config import ModelConfig, default_labels
from plm.models.families import FAMILIES
from tests.tiny_models import FAMILY_NAMES, tiny_config

every_family = pytest.mark.parametrize("family", FAMILY_NAMES)


@every_family
def test_a_config_survives_the_way_through_json(family: str) -> None:
    config = tiny_config(family, id2label={0: "no", 1: "yes", 2: "maybe"}, classifier_dropout=0.25)
    assert from_dict(type(config), to_dict(config)) == config


@every_family
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vocab_size": 0}, "vocab_size: expected a positive integer, got 0"),
        ({"num_hidden_layers": -1}, "num_hidden_layers: expected a positive integer, got -1"),
        ({"hidden_size": 13}, "hidden_size 13 must be a multiple of num_attention_heads 3"),
        ({"hidden_size": 12.0}, "hidden_size: expected int, got float (12.0)"),
        ({"vocab_size": "31"}, "vocab_size: expected int, got str ('31')"),
        ({"num_attention_heads": True}, "num_attention_heads: expected int, got bool (True)"),
        (
            {"hidden_act": "gelo"},
            "hidden_act: 'gelo' is not one of 'gelu', 'gelu_new', 'relu', 'silu', 'tanh'; did you",
        ),
        ({"attention_pattern": "casual"}, "attention_pattern: 'casual' is not one of 'full', 'causal', 'prefix'; did"),
        ({"norm": "Post"}, "norm: 'Post' is not one of 'post', 'pre'; did you mean 'post'?"),
        ({"problem_type": "classification"}, "problem_type: 'classification' is not one of"),
        ({"classifier_pooling": "mean"}, "classifier_pooling: 'mean' is not one of 'pooled', 'last_token'"),
        ({"hidden_dropout_prob": 1.0}, "hidden_dropout_prob: expected a probability in [0, 1), got 1.0"),
        ({"classifier_dropout": -0.1}, "classifier_dropout: expected a probability in [0, 1), got -0.1"),
        ({"layer_norm_eps": 0.0}, "layer_norm_eps: expected a positive number, got 0.0"),
        ({"layer_norm_eps": float("nan")}, "layer_norm_eps: expected a finite number, got nan"),
        ({"initializer_range": -0.02}, "initializer_range: expected 0 or more, got -0.02"),
        ({"type_vocab_size": -1}, "type_vocab_size: expected 0 or more, got -1"),
        ({"id2label": {1: "a", 2: "b"}}, "id2label: expected ids 0 to 1, got [1, 2]"),
    ],
)
def test_an_impossible_config_is_refused_by_field(family: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match="^" + re.escape(message)):
        tiny_config(family, **changes)


def test_configs_cannot_be_changed_but_replaced_and_are_checked_again() -> None:
    config = tiny_config("bert")
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.vocab_size = 3  # type: ignore[misc]
    assert dataclasses.replace(config, vocab_size=3).vocab_size == 3
    with pytest.raises(ConfigError, match="vocab_size"):
        dataclasses.replace(config, vocab_size=0)


def test_classes_have_names_and_there_are_two_when_nothing_is_said() -> None:
    assert (tiny_config("bert").num_labels, tiny_config("bert").labels) == (2, ("LABEL_0", "LABEL_1"))
    named = tiny_config("bert", id2label={1: "yes", 0: "no", 2: "maybe"})
    assert (named.num_labels, named.labels) == (3, ("no", "yes", "maybe"))
    assert default_labels(3) == {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}


def test_a_head_is_its_share_of_the_hidden_size() -> None:
    assert tiny_config("bert", hidden_size=24, num_attention_heads=4).head_size == 6


@every_family
def test_the_field_words_of_config_json_are_the_fields(family: str) -> None:
    """The names that users know, so that a config.json of BERT or NEZHA needs no translation."""
    names = {field.name for field in dataclasses.fields(FAMILIES.get(family).config)}
    assert names >= {field.name for field in dataclasses.fields(ModelConfig)}
    assert names >= {
        "vocab_size",
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "intermediate_size",
        "hidden_act",
        "hidden_dropout_prob",
        "attention_probs_dropout_prob",
        "max_position_embeddings",
        "type_vocab_size",
        "initializer_range",
        "layer_norm_eps",
        "pad_token_id",
        "classifier_dropout",
        "tie_word_embeddings",
        "id2label",
        "problem_type",
    }
