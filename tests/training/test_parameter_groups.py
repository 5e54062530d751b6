"""Names and shapes say how fast a parameter learns, whether it decays, and whether it is trained at all."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from plm.errors import TrainingError
from plm.training.parameter_groups import depth, freeze, parameter_groups, plain_name
from tests.tiny_models import FAMILY_NAMES, tiny_model


def rates(model: nn.Module, **options: object) -> dict[str, float]:
    """Learning rate by parameter name."""
    groups = parameter_groups(model, **{"learning_rate": 1.0, "weight_decay": 0.01} | options)  # type: ignore[arg-type]
    by_id = {id(held): group["lr"] for group in groups for held in group["params"]}
    return {name: by_id[id(held)] for name, held in model.named_parameters() if id(held) in by_id}


def test_vectors_do_not_decay_and_frozen_parameters_are_left_out() -> None:
    model = nn.Sequential(nn.Embedding(5, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    model[0].weight.requires_grad_(False)
    spared, decayed = parameter_groups(model, learning_rate=1.0, weight_decay=0.01)
    assert (decayed["weight_decay"], [p.shape for p in decayed["params"]]) == (0.01, [(2, 4)])
    assert (spared["weight_decay"], [p.shape for p in spared["params"]]) == (0.0, [(4,), (4,), (2,)])
    assert len(parameter_groups(nn.Embedding(2, 2), learning_rate=1.0, weight_decay=0.01)) == 1


def test_vectors_decay_when_asked() -> None:
    (group,) = parameter_groups(nn.Linear(2, 2), learning_rate=1.0, weight_decay=0.01, decay_vectors=True)
    assert (group["weight_decay"], len(group["params"])) == (0.01, 2)


def test_nothing_to_train_is_refused() -> None:
    with pytest.raises(TrainingError, match="nothing to train: no parameter"):
        parameter_groups(nn.Linear(2, 2).requires_grad_(False), learning_rate=1.0, weight_decay=0.01)


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_lower_layers_learn_slower(family: str) -> None:
    model = tiny_model(family, "sequence_classification", num_hidden_layers=3)
    found = rates(model, layer_decay=0.5)
    assert len(found) == len(list(model.parameters()))
    for name, rate in found.items():
        expected = {"backbone.embeddings": 1 / 16, "backbone.blocks.0": 1 / 8, "backbone.blocks.1": 1 / 4}
        expected |= {"backbone.blocks.2": 1 / 2, "backbone.pooler": 1.0, "heads": 1.0}
        assert rate == next(share for prefix, share in expected.items() if name.startswith(f"{prefix}.")), name


def test_layer_decay_does_not_depend_on_what_is_frozen() -> None:
    model = tiny_model("bert", "sequence_classification")
    whole = rates(model, layer_decay=0.5)
    freeze(model, ["backbone.blocks.1.*"])
    assert rates(model, layer_decay=0.5) == {name: rate for name, rate in whole.items() if "blocks.1" not in name}


def test_layer_decay_needs_layers() -> None:
    with pytest.raises(TrainingError, match="layer_decay needs a model whose parameters are called backbone"):
        parameter_groups(nn.Linear(2, 2), learning_rate=1.0, weight_decay=0.0, layer_decay=0.9)


def test_names_may_have_rates_of_their_own() -> None:
    model = tiny_model("bert", "sequence_classification")
    found = rates(model, layer_decay=0.5, learning_rates={"heads.*.bias": 7.0, "heads.*": 5.0, "*.word.*": 3.0})
    assert found["heads.sequence_classification.classifier.linear.weight"] == 5.0
    assert found["heads.sequence_classification.classifier.linear.bias"] == 7.0
    assert found["backbone.embeddings.word.weight"] == 3.0
    assert found["backbone.embeddings.position.weight"] == 0.125


def test_freezing_takes_whole_parts_out_of_training() -> None:
    model = tiny_model("nezha", "sequence_classification")
    frozen = freeze(model, ("backbone.embeddings.*", "backbone.blocks.[0]*"))
    trained = {name for name, held in model.named_parameters() if held.requires_grad}
    assert trained.isdisjoint(frozen)
    assert {name.split(".")[1] for name in frozen} == {"embeddings", "blocks"}
    assert trained | set(frozen) == {name for name, _ in model.named_parameters()}
    assert rates(model).keys() == trained
    assert freeze(model, ()) == []


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"learning_rates": {"head.*": 1.0}}, "learning_rates: no parameter fits 'head"),
        ({"learning_rates": {"backbone.pooler.dens.*": 1.0}}, "did you mean 'backbone.pooler.dense"),
    ],
)
def test_a_pattern_that_fits_nothing_is_refused(options: Mapping[str, object], hint: str) -> None:
    model = tiny_model("bert", "sequence_classification")
    with pytest.raises(TrainingError, match=hint):
        rates(model, **options)
    with pytest.raises(TrainingError, match=r"freeze: no parameter fits 'embeddings.word'; did you mean '.*word"):
        freeze(tiny_model("bert").backbone, ["embeddings.word"])


def test_wrappers_do_not_change_names() -> None:
    assert plain_name("module._orig_mod.backbone.pooler.dense.bias") == "backbone.pooler.dense.bias"
    model = tiny_model("bert", "sequence_classification")
    wrapped = nn.Module()
    wrapped.module = model
    assert set(rates(wrapped, layer_decay=0.5).values()) == set(rates(model, layer_decay=0.5).values())


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 99), st.sampled_from(["backbone.", ""]), st.text("abc.", max_size=6))
def test_depth_counts_from_the_embeddings(number: int, prefix: str, rest: str) -> None:
    assert depth(f"{prefix}embeddings.{rest}", top=100) == 0
    assert depth(f"{prefix}blocks.{number}.{rest}", top=100) == number + 1
    assert depth(f"heads.blocks.{rest}", top=100) == 100


def test_every_parameter_is_in_one_group() -> None:
    model = tiny_model("tinybert", "masked_lm", "sequence_classification")
    groups = parameter_groups(model, learning_rate=1.0, weight_decay=0.01, layer_decay=0.9)
    held = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(held) == sorted(id(parameter) for parameter in model.parameters())
