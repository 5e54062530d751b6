"""Scores for words come from the word embeddings, with or without a transform, a bias, or a table of their own."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from plm.heads.language_model import LanguageModel, build_language_model
from plm.heads.model import Model
from tests.tiny_models import FAMILY_NAMES, gradients, random_ids, randomized, tiny_config, tiny_model
from tests.tolerances import assert_close

HIDDEN, WORDS = torch.randn(2, 3, 4), torch.randn(7, 4)


def language_model(*, transform: bool, tied: bool) -> LanguageModel:
    """Four hidden values, seven words."""
    made: LanguageModel = randomized(
        LanguageModel(
            hidden_size=4,
            vocab_size=7,
            activation="gelu" if transform else None,
            norm_eps=1e-12,
            bias=transform,
            tied=tied,
        )
    )
    return made


def test_bare_scores_are_products_with_the_words() -> None:
    assert_close(language_model(transform=False, tied=True)(HIDDEN, WORDS), HIDDEN @ WORDS.t())


def test_berts_scores_are_transformed_and_have_a_bias() -> None:
    part = language_model(transform=True, tied=True)
    assert part.dense is not None
    assert part.norm is not None
    inner = F.gelu(HIDDEN @ part.dense.weight.t() + part.dense.bias)
    inner = F.layer_norm(inner, (4,), part.norm.weight, part.norm.bias, 1e-12)
    assert_close(part(HIDDEN, WORDS), inner @ WORDS.t() + part.bias)


def test_an_untied_model_has_words_of_its_own() -> None:
    part = language_model(transform=False, tied=False)
    assert part.decoder is not None
    assert_close(part(HIDDEN, WORDS), HIDDEN @ part.decoder.weight.t())


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_a_family_gets_the_kind_that_its_config_tells(family: str) -> None:
    names = {name.split(".")[0] for name, _ in build_language_model(tiny_config(family)).named_parameters()}
    assert names == (set() if family == "openai-gpt" else {"dense", "norm", "bias"})
    untied = build_language_model(tiny_config(family, tie_word_embeddings=False))
    assert {name.split(".")[0] for name, _ in untied.named_parameters()} == names | {"decoder"}


@pytest.mark.parametrize("head", ["masked_lm", "causal_lm", "pretraining"])
@pytest.mark.parametrize("tied", [True, False])
def test_tied_words_learn_from_both_ends(head: str, tied: bool) -> None:
    model = tiny_model("bert", head, tie_word_embeddings=tied)
    word = gradients(model, _logits(model, random_ids(1, 4)).square().sum())["backbone.embeddings.word.weight"]
    unused = torch.ones(31, dtype=torch.bool)
    unused[random_ids(1, 4)[0]] = False
    assert bool((word[unused] != 0).any()) is tied


def _logits(model: Model, ids: Tensor) -> Tensor:
    output = model(ids)
    return output["logits"] if "logits" in output else output["prediction_logits"]  # type: ignore[no-any-return]
