"""Config files of every kind are understood, and what is written reads back as it was."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plm.blocks.activations import ACTIVATIONS
from plm.checkpoints.config_keys import ACTIVATION_ALIASES, CONFIG_KEYS, NEUTRAL, ONLY, UNDERSTOOD
from plm.checkpoints.config_map import (
    MOST_LABELS,
    RawConfig,
    architecture_name,
    finish_config,
    read_config,
    resolve_activation,
    spell_activation,
    write_config,
)
from plm.checkpoints.maps import MAPS
from plm.checkpoints.name_map import table_for
from plm.checkpoints.saving import TARGETS
from plm.errors import ConfigError
from plm.models.config import ModelConfig
from plm.models.families import FAMILIES
from tests.tiny_models import FAMILY_NAMES, tiny_config

SIZES = {"vocab_size": 9, "hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 2}
BERT = {"model_type": "bert", **SIZES}
LAYOUTS = [
    pytest.param(layout, family, id=f"{layout}-{family}")
    for layout in TARGETS
    for family in FAMILY_NAMES
    if table_for(layout, family) is not None
]


def read(raw: dict[str, Any], **overrides: Any) -> RawConfig:
    return read_config(raw, source="config.json", overrides=overrides)


def finished(raw: dict[str, Any], **overrides: Any) -> ModelConfig:
    return finish_config(read(raw, **overrides), inferred={}, activations={})


def fields_of(family: str) -> st.SearchStrategy[dict[str, Any]]:
    """Values of the fields that people change, for a tiny config of a family."""
    names = st.text(min_size=1, max_size=5)
    rate = st.floats(0, 1, exclude_max=True)
    choices: dict[str, st.SearchStrategy[Any]] = {
        "hidden_act": st.sampled_from(ACTIVATIONS.names()),
        "layer_norm_eps": st.sampled_from([1e-12, 1e-7, 1e-6, 1e-5]),
        "norm": st.sampled_from(["post", "pre"]),
        "attention_pattern": st.sampled_from(["full", "causal", "prefix"]),
        "language_model_transform": st.booleans(),
        "tie_word_embeddings": st.booleans(),
        "pad_token_id": st.none() | st.integers(0, 8),
        "classifier_dropout": st.none() | rate,
        "classifier_activation": st.sampled_from(["none", "relu"]),
        "classifier_bias": st.booleans(),
        "hidden_dropout_prob": rate,
        "type_vocab_size": st.integers(0, 3),
        "intermediate_size": st.integers(1, 99),
        "initializer_range": st.floats(0, 1),
        "id2label": st.none() | st.lists(names, max_size=3).map(lambda labels: dict(enumerate(labels))),
        "problem_type": st.sampled_from(
            [None, "regression", "single_label_classification", "multi_label_classification"]
        ),
    }
    if family == "nezha":
        choices["max_relative_position"] = st.integers(1, 128)
    if family == "tinybert":
        choices |= {"fit": st.sampled_from(["none", "shared", "per_layer", "both"]), "fit_size": st.integers(1, 40)}
    if family == "openai-gpt":
        choices |= {"embedding_dropout_prob": rate, "summary_dropout": rate}
    else:
        choices["classifier_pooling"] = st.sampled_from(["pooled", "last_token"])
    return st.fixed_dictionaries({}, optional=choices)


@pytest.mark.parametrize(("layout", "family"), LAYOUTS)
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_what_is_written_for_any_layout_reads_back_as_the_same_config(
    layout: str, family: str, data: st.DataObject
) -> None:
    config = tiny_config(family, **data.draw(fields_of(family)))
    heads = data.draw(st.sampled_from([(), *((head,) for head in FAMILIES.get(family).heads)]))
    table = table_for(layout, family)
    assert table is not None
    content = TARGETS.get(layout).write_config(config, heads, dtype="float32", activations=table.activations)
    raw = read_config(json.loads(json.dumps(content)), source="config.json")
    assert raw.notes == []
    assert finish_config(raw, inferred=table.defaults, activations=table.activations) == config


@pytest.mark.parametrize("name", MAPS.names())
@pytest.mark.parametrize("activation", ACTIVATIONS.names())
def test_every_source_has_a_spelling_for_every_activation(name: str, activation: str) -> None:
    activations = MAPS.get(name).activations
    assert resolve_activation(spell_activation(activation, activations), activations) == activation


def test_gelu_means_what_the_source_means_by_it() -> None:
    tanh = {"gelu": "gelu_new"}
    assert resolve_activation("gelu", {}) == "gelu"
    assert resolve_activation("gelu", tanh) == "gelu_new"
    assert resolve_activation("gelu_pytorch_tanh", {}) == "gelu_new"
    assert (spell_activation("gelu_new", tanh), spell_activation("gelu", tanh)) == ("gelu", "gelu_erf")
    assert set(ACTIVATION_ALIASES.values()) <= set(ACTIVATIONS)


def test_config_json_has_the_keys_and_defaults_of_transformers() -> None:
    values = write_config(tiny_config("bert"), ("sequence_classification",), dtype="bfloat16", activations={})
    assert values["architectures"] == ["BertForSequenceClassification"]
    assert (values["dtype"], values["model_type"], values["is_decoder"]) == ("bfloat16", "bert", False)
    assert values["classifier_dropout"] is None
    assert not {"id2label", "num_labels", "problem_type", "attention_pattern", "norm", "fit"} & values.keys()
    labelled = tiny_config("bert", id2label={0: "no", 1: "yes", 2: "?"}, attention_pattern="causal")
    values = write_config(labelled, (), dtype="float32", activations={})
    assert values["architectures"] == ["BertModel"]
    assert values["id2label"] == {"0": "no", "1": "yes", "2": "?"}
    assert values["label2id"] == {"no": 0, "yes": 1, "?": 2}
    assert values["is_decoder"] is True
    assert "attention_pattern" not in values


def test_gpt1_is_written_with_its_own_keys() -> None:
    values = write_config(
        tiny_config("openai-gpt", intermediate_size=48), (), dtype="float32", activations={"gelu": "gelu_new"}
    )
    assert {name: values[name] for name in ("n_embd", "n_layer", "n_head", "n_positions", "afn")} == {
        "n_embd": 12, "n_layer": 2, "n_head": 3, "n_positions": 24, "afn": "gelu",
    }  # fmt: skip
    assert not {"hidden_size", "hidden_act", "is_decoder", "intermediate_size", "type_vocab_size"} & values.keys()
    assert architecture_name("openai-gpt", ("causal_lm",)) == "OpenAIGPTLMHeadModel"


@pytest.mark.parametrize(
    ("raw", "family"),
    [
        ({"model_type": "bert"}, "bert"),
        ({}, "bert"),
        ({"model_type": ""}, "bert"),
        ({"use_relative_position": True}, "nezha"),
        ({"model_type": "bert", "use_relative_position": True}, "nezha"),
        ({"max_relative_position": 64}, "nezha"),
        ({"max_relative_position": 64, "use_relative_position": False}, "bert"),
        ({"cell": {}, "emb_size": 4}, "tinybert"),
        ({"n_embd": 4}, "openai-gpt"),
        ({"model_type": "gpt"}, "openai-gpt"),
    ],
)
def test_families_are_told_by_model_type_or_by_what_only_they_have(raw: dict[str, Any], family: str) -> None:
    assert read({**SIZES, **raw}).model_type == family


def test_fit_layers_make_a_tinybert_unless_a_head_says_otherwise() -> None:
    names = ["fit_dense.weight"]
    assert read_config(BERT, source="x", tensor_names=names).model_type == "tinybert"
    classifier = {**BERT, "architectures": ["BertForSequenceClassification"]}
    assert read_config(classifier, source="x", tensor_names=names).model_type == "bert"


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("BertForMaskedLM", "masked_lm"),
        ("BertForPretraining", "pretraining"),  # PaddleNLP's capitals
        ("BertLMHeadModel", "causal_lm"),
        ("OpenAIGPTDoubleHeadsModel", "double_heads"),
        ("NezhaForTokenClassification", "token_classification"),
        ("BertModel", None),
    ],
)
def test_architectures_name_the_head(name: str, head: str | None) -> None:
    assert read({**BERT, "architectures": [name]}).architecture == head


@pytest.mark.parametrize("architectures", [None, [], [3], "BertModel", {}])
def test_odd_architectures_name_no_head(architectures: Any) -> None:
    assert read({**BERT, "architectures": architectures}).architecture is None


def test_keys_of_files_that_nothing_knows_are_noted() -> None:
    raw = read({**BERT, "hiden_act": "relu", "use_cache": True, "_name_or_path": "x"})
    assert raw.notes == ["config.json: 'hiden_act' is not used; did you mean 'hidden_act'?"]


def test_overrides_that_nothing_takes_are_errors() -> None:
    with pytest.raises(ConfigError, match=r"'hiden_act' is no config field of bert .* did you mean 'hidden_act'\?"):
        read(BERT, hiden_act="relu")
    with pytest.raises(ConfigError, match="'use_cache' is no config field of bert and changes nothing"):
        read(BERT, use_cache=False)
    with pytest.raises(ConfigError, match="'n_embd' is no config field of bert"):
        read(BERT, n_embd=8)


def test_overrides_win_in_either_spelling() -> None:
    gpt1 = {"model_type": "openai-gpt", "vocab_size": 9, "n_embd": 4, "n_layer": 1, "n_head": 2}
    assert finished(gpt1, hidden_size=8).hidden_size == 8
    assert finished(gpt1, n_embd=8).hidden_size == 8
    assert finished(BERT, hidden_dropout_prob=0.5).hidden_dropout_prob == 0.5


def test_a_wrong_override_is_told_from_a_wrong_file() -> None:
    with pytest.raises(ConfigError, match=r"config\.json, with hidden_act given by the caller: hidden_act: 'gelo'"):
        finished(BERT, hidden_act="gelo")
    with pytest.raises(ConfigError, match=r"^config\.json: hidden_act: 'gelo'"):
        finished({**BERT, "hidden_act": "gelo"})


@pytest.mark.parametrize(
    ("key", "value"),
    [("position_embedding_type", "relative_key"), ("add_cross_attention", True), ("pruned_heads", {"0": [1]})],
)
def test_keys_that_ask_for_another_model_are_refused(key: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"config.json: {key}: .* asks for something that plm does not have"):
        read({**BERT, key: value})
    with pytest.raises(ConfigError, match=key):
        read(BERT, **{key: value})


def test_is_decoder_means_causal_attention() -> None:
    assert finished({**BERT, "is_decoder": True}).attention_pattern == "causal"
    assert finished({**BERT, "is_decoder": False}).attention_pattern == "full"
    assert finished(BERT, is_decoder=True).attention_pattern == "causal"
    assert finished({**BERT, "is_decoder": True}, is_decoder=False).attention_pattern == "full"
    assert finished({**BERT, "is_decoder": True, "attention_pattern": "prefix"}).attention_pattern == "prefix"
    gpt1 = {**SIZES, "model_type": "openai-gpt", "is_decoder": False}
    assert finished(gpt1).attention_pattern == "causal"
    with pytest.raises(ConfigError, match="is_decoder: expected bool, got str"):
        read(BERT, is_decoder="yes")


@pytest.mark.parametrize(
    ("raw", "overrides", "labels"),
    [
        ({}, {}, ("LABEL_0", "LABEL_1")),
        ({"num_labels": 3}, {}, ("LABEL_0", "LABEL_1", "LABEL_2")),
        ({"id2label": {"0": "no", "1": "yes"}}, {}, ("no", "yes")),
        ({"label2id": {"no": 0, "yes": 1}}, {}, ("no", "yes")),
        ({"id2label": {"0": "no", "1": "yes"}}, {"num_labels": 2}, ("no", "yes")),
        ({"id2label": {"0": "no", "1": "yes"}}, {"num_labels": 1}, ("LABEL_0",)),
        ({"id2label": {"0": "no", "1": "yes"}, "num_labels": 3}, {}, ("no", "yes")),
        ({"num_labels": 3}, {"id2label": {0: "a"}}, ("a",)),
        ({}, {"id2label": ["a", "b", "c"]}, ("a", "b", "c")),
        ({}, {"id2label": {0: "a", 1: "b"}, "label2id": {"a": 0, "b": 1}, "num_labels": 2}, ("a", "b")),
    ],
)
def test_classes_come_from_names_or_numbers(
    raw: dict[str, Any], overrides: dict[str, Any], labels: tuple[str, ...]
) -> None:
    assert finished({**BERT, **raw}, **overrides).labels == labels


@pytest.mark.parametrize("count", [0, -1, True, "3", 2.0, MOST_LABELS + 1, 10**15])
def test_a_number_of_classes_that_cannot_be_is_refused(count: Any) -> None:
    with pytest.raises(ConfigError, match="num_labels: expected an integer from 1 to"):
        read({**BERT, "num_labels": count})


def test_names_and_number_given_together_must_agree() -> None:
    with pytest.raises(ConfigError, match="num_labels is 3, and the names given are 2"):
        read(BERT, num_labels=3, id2label={0: "a", 1: "b"})
    with pytest.raises(ConfigError, match="id2label: expected names by id, got str"):
        read({**BERT, "id2label": "ab"})


def test_missing_sizes_are_all_named_and_never_guessed() -> None:
    with pytest.raises(ConfigError, match="missing field 'hidden_size', 'num_attention_heads'") as error:
        finished({"model_type": "bert", "vocab_size": 9, "num_hidden_layers": 1})
    assert "hidden_size=..." in str(error.value)


def test_an_unknown_family_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"'bert2000' is not known; did you mean 'bert'\? .*'nezha'"):
        read({**BERT, "model_type": "bert2000"})
    with pytest.raises(ConfigError, match="model_type: expected str, got int"):
        read({**BERT, "model_type": 3})


def test_tables_of_keys_do_not_contradict_each_other() -> None:
    fields = {name for family in FAMILIES for name in FAMILIES.get(family).config.__dataclass_fields__}
    assert not NEUTRAL & fields
    assert not NEUTRAL & set(ONLY)
    assert not NEUTRAL & set(UNDERSTOOD)
    for family, keys in CONFIG_KEYS.items():
        own = set(FAMILIES.get(family).config.__dataclass_fields__)
        assert {*keys.names, *keys.also_read.values(), *keys.unsaid} <= own
        assert all(keys.field_of(theirs) == ours for ours, theirs in keys.names.items())
