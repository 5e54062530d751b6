"""Programs ask for the parameters that models have, know all heads, and need no torch."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from plm.backends.program.distances import relative_table
from plm.backends.program.heads import HEAD_PROGRAMS, needs_pooler, parameter_shapes
from plm.backends.program.spec import HeadFacts, Spec
from plm.blocks import relative
from plm.errors import ConfigError, UnknownNameError
from plm.heads.head import HEADS
from plm.heads.model import Model, build_model
from plm.heads.several import HeadPlan
from plm.models.families import FAMILIES
from tests.tiny_models import FAMILY_NAMES, tiny_config, tiny_model

EVERY_HEAD = [(family, head) for family in FAMILY_NAMES for head in FAMILIES.get(family).heads]


def shapes_of(model: Model) -> dict[str, tuple[int, ...]]:
    return {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}


def test_every_head_of_the_library_has_a_program() -> None:
    assert set(HEAD_PROGRAMS) == {head for family in FAMILY_NAMES for head in FAMILIES.get(family).heads}


@pytest.mark.parametrize(("family", "head"), EVERY_HEAD)
def test_programs_ask_for_the_parameters_that_models_have(family: str, head: str) -> None:
    model = tiny_model(family, head)
    assert parameter_shapes(Spec.of(model)) == shapes_of(model)


@pytest.mark.parametrize(("family", "head"), EVERY_HEAD)
def test_programs_know_which_heads_need_a_pooler(family: str, head: str) -> None:
    config = tiny_config(family)
    assert needs_pooler(HeadFacts.of(head, head, config)) == HEADS.get(head).needs_pooler(config)


@pytest.mark.parametrize(
    ("family", "head", "changes"),
    [
        ("bert", "masked_lm", {"norm": "pre"}),
        ("bert", "masked_lm", {"tie_word_embeddings": False}),
        ("nezha", "causal_lm", {"language_model_transform": False, "attention_pattern": "causal"}),
        ("bert", "sequence_classification", {"classifier_bias": False, "classifier_pooling": "last_token"}),
        ("bert", "token_classification", {"id2label": dict(enumerate("abcde")), "type_vocab_size": 0}),
        ("openai-gpt", "classification_with_lm", {"classifier_bias": True, "type_vocab_size": 3}),
        ("tinybert", "hidden_projection", {"fit": "shared"}),
        ("tinybert", "hidden_projection", {"fit": "per_layer"}),
    ],
)
def test_options_of_models_change_what_is_asked_for(family: str, head: str, changes: dict[str, object]) -> None:
    model = tiny_model(family, head, **changes)
    assert parameter_shapes(Spec.of(model)) == shapes_of(model)


def test_several_heads_keep_their_own_options_and_shared_ones_their_parameters() -> None:
    plans = {
        "intent": HeadPlan("sequence_classification", {"num_labels": 5}),
        "slots": HeadPlan("token_classification", {"num_labels": 3}),
        "old": HeadPlan(shared_with="intent"),
    }
    model = build_model(tiny_config("bert"), plans)
    spec = Spec.of(model)
    assert [(head.name, head.kind, head.classes, head.prefix) for head in spec.heads] == [
        ("intent", "sequence_classification", 5, "heads.intent."),
        ("slots", "token_classification", 3, "heads.slots."),
        ("old", "sequence_classification", 5, "heads.intent."),
    ]
    assert parameter_shapes(spec) == shapes_of(model)
    assert spec.head() == spec.head("intent")
    with pytest.raises(UnknownNameError, match="did you mean 'slots'"):
        spec.head("slot")


@pytest.mark.parametrize(("radius", "size"), [(1, 1), (3, 5), (64, 64)])
def test_distances_are_those_of_the_torch_kernel(radius: int, size: int) -> None:
    np.testing.assert_allclose(relative_table(radius, size), relative.relative_table(radius, size), atol=1e-7)


def test_what_programs_do_not_compute_is_refused_with_the_way_out() -> None:
    with pytest.raises(ConfigError, match='backend="torch"'):
        Spec.of(tiny_model("bert", attention_pattern="prefix"))
    with pytest.raises(ConfigError, match="activation 'elu': backends besides PyTorch know 'gelu'"):
        replace(Spec.of(tiny_model("bert")), activation="elu")
    with pytest.raises(ConfigError, match="fit and fit_size"):
        parameter_shapes(replace(Spec.of(tiny_model("tinybert", "hidden_projection")), heads=(FITLESS,)))


FITLESS = HeadFacts(name="hidden_projection", kind="hidden_projection", prefix="heads.hidden_projection.")


def test_programs_import_no_torch() -> None:
    code = "import sys, plm.backends.program.heads; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
