"""Every family builds its models to the last parameter, fills them all, and stores nothing that can be computed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from plm.heads.head import HEADS
from plm.heads.model import Model, build_model
from plm.models.bert import BertConfig
from plm.models.config import ModelConfig
from plm.models.families import FAMILIES
from plm.models.gpt1 import Gpt1Config
from plm.models.init import initialize
from plm.models.nezha import NezhaConfig
from plm.models.tinybert import TinyBertConfig
from tests.tiny_models import FAMILY_NAMES, random_ids, tiny_config

COMBINATIONS = [(family, head) for family in FAMILY_NAMES for head in (None, *FAMILIES.get(family).heads)]
every_combination = pytest.mark.parametrize(("family", "head"), COMBINATIONS)


def sized(
    kind: type[ModelConfig], layers: int, hidden_size: int, heads: int, intermediate_size: int, **more: Any
) -> ModelConfig:
    """A config by its table row."""
    return kind(
        num_hidden_layers=layers,
        hidden_size=hidden_size,
        num_attention_heads=heads,
        intermediate_size=intermediate_size,
        **more,
    )


BASE, LARGE = (12, 768, 12, 3072), (24, 1024, 16, 4096)
CN_BASE = sized(NezhaConfig, *BASE, vocab_size=21128)
CN_LARGE = sized(NezhaConfig, *LARGE, vocab_size=21128)
EN_BASE = sized(NezhaConfig, *BASE, vocab_size=28996, max_relative_position=127)
MULTILINGUAL = sized(NezhaConfig, *BASE, vocab_size=100503)
BERT_BASE = sized(BertConfig, *BASE, vocab_size=30522)
GPT1 = sized(Gpt1Config, *BASE, vocab_size=40478)
TINY_4, TINY_6 = (4, 312, 12, 1200), (6, 768, 12, 3072)


def parameters(config: ModelConfig, *heads: str, prefix: str = "") -> int:
    """Number of parameters below a prefix, counted without making them."""
    with torch.device("meta"):
        model = build_model(config, heads)
    return sum(held.numel() for name, held in model.named_parameters() if name.startswith(prefix))


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (CN_BASE, 101_874_432),
        (CN_LARGE, 324_998_144),
        (EN_BASE, 107_917_056),
        (MULTILINGUAL, 162_834_432),
        (BERT_BASE, 109_482_240),
        (sized(TinyBertConfig, *TINY_4, vocab_size=30522), 14_350_248),
        (sized(TinyBertConfig, *TINY_4, vocab_size=21128), 11_419_320),
        (sized(TinyBertConfig, *TINY_6, vocab_size=30522), 66_955_008),
        (sized(TinyBertConfig, *TINY_6, vocab_size=21128), 59_740_416),
    ],
)
def test_backbones_have_the_parameters_of_the_released_models(config: ModelConfig, expected: int) -> None:
    assert parameters(config) == expected


@pytest.mark.parametrize(
    ("config", "head", "expected"),
    [
        (CN_BASE, "pretraining", 102_489_226),
        (CN_LARGE, "pretraining", 326_072_970),
        (EN_BASE, "pretraining", 108_539_718),
        (MULTILINGUAL, "pretraining", 163_528_601),
        (GPT1, "causal_lm", 116_534_784),
    ],
)
def test_models_with_heads_have_the_parameters_of_the_released_models(
    config: ModelConfig, head: str, expected: int
) -> None:
    assert parameters(config, head) == expected


@pytest.mark.parametrize(
    ("config", "prefix", "expected"),
    [
        (CN_BASE, "backbone.blocks.0.", 7_087_872),
        (CN_LARGE, "backbone.blocks.0.", 12_596_224),
        (BERT_BASE, "backbone.blocks.", 85_054_464),
        (sized(TinyBertConfig, *TINY_4, vocab_size=30522), "backbone.blocks.", 4_568_736),
        (sized(TinyBertConfig, *TINY_6, vocab_size=30522), "backbone.blocks.", 42_527_232),
    ],
)
def test_blocks_have_the_parameters_of_the_released_models(config: ModelConfig, prefix: str, expected: int) -> None:
    assert parameters(config, prefix=prefix) == expected


@pytest.mark.parametrize(
    ("sizes", "fit", "expected"),
    [(TINY_4, "shared", 240_384), (TINY_6, "shared", 590_592), (TINY_4, "per_layer", 5 * 240_384)],
)
def test_fit_layers_have_the_parameters_of_the_released_models(sizes: Any, fit: str, expected: int) -> None:
    config = sized(TinyBertConfig, *sizes, vocab_size=30522, fit=fit, fit_size=768)
    assert parameters(config, "hidden_projection", prefix="heads.") == expected


def test_the_families_are_these() -> None:
    assert FAMILIES.names()[:4] == ["bert", "nezha", "openai-gpt", "tinybert"]
    for name, family in FAMILIES.items():
        assert family.config.model_type == name
        assert all(head in HEADS for head in family.heads)


@every_combination
def test_a_checkpoint_holds_parameters_and_nothing_else(family: str, head: str | None) -> None:
    model = build(family, head)
    assert list(model.state_dict()) == [name for name, _ in model.named_parameters()]


@pytest.fixture
def poisoned_memory() -> Iterator[None]:
    """Fresh memory holds NaN, so that whatever nobody filled shows."""
    torch.use_deterministic_algorithms(True)
    assert torch.utils.deterministic.fill_uninitialized_memory
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.usefixtures("poisoned_memory")
@every_combination
def test_no_parameter_is_left_unfilled(family: str, head: str | None) -> None:
    model = build(family, head)
    assert not all(held.isfinite().all() for held in model.parameters())  # the poison works
    initialize(model, std=0.02)
    assert all(held.isfinite().all() for held in model.parameters())
    choices = head in ("multiple_choice", "multiple_choice_with_lm", "double_heads")
    ids = random_ids(2, 2, 5) if choices else random_ids(2, 5)
    output = model(ids)
    assert all(output[name].isfinite().all() for name in output)


def build(family: str, head: str | None) -> Model:
    """A tiny model as the builder leaves it."""
    return build_model(tiny_config(family), () if head is None else (head,))
