"""A loaded model can be saved and given more words without changing what it knows."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import plm
from plm.auto.model import PretrainedModel
from plm.checkpoints.saving import TARGETS
from plm.errors import ConfigError
from tests.checkpoints.tiny_checkpoints import assert_same_parameters
from tests.tiny_models import FAMILY_NAMES, random_ids, tiny_model


def pretrained(family: str, *heads: str, **changes: object) -> PretrainedModel:
    return PretrainedModel.of(tiny_model(family, *heads, **changes).eval())


@pytest.mark.parametrize("layout", TARGETS.names())
def test_a_model_saves_itself_in_every_layout(layout: str, tmp_path: Path) -> None:
    model = pretrained({"openai": "openai-gpt", "huawei": "tinybert"}.get(layout, "bert"))
    files = model.save_pretrained(str(tmp_path), layout=layout)
    assert all(path.parent == tmp_path for path in files)
    assert_same_parameters(plm.AutoModel.from_pretrained(tmp_path), model)


def test_the_mode_of_a_model_is_kept() -> None:
    assert not pretrained("bert").training
    assert PretrainedModel.of(tiny_model("bert")).training


@pytest.mark.parametrize("family", FAMILY_NAMES)
@pytest.mark.parametrize("is_tied", [True, False])
def test_more_words_change_nothing_for_the_old_ones(family: str, is_tied: bool) -> None:
    model = pretrained(family, "causal_lm", tie_word_embeddings=is_tied)
    ids = random_ids(2, 5)
    before = model(ids).logits
    model.resize_token_embeddings(40)
    after = model(ids).logits
    assert after.shape == (2, 5, 40)
    assert torch.equal(after[..., :31], before)
    assert bool(after.isfinite().all())
    assert model.config.vocab_size == model.backbone.embeddings.word.num_embeddings == 40
    assert model(torch.full((1, 2), 39)).logits.shape == (1, 2, 40)


def test_fewer_words_cut_the_last_ones(tmp_path: Path) -> None:
    model = pretrained("bert", "masked_lm", tie_word_embeddings=False)
    before = model.backbone.embeddings.word.weight.detach().clone()
    model.resize_token_embeddings(7)
    assert torch.equal(model.backbone.embeddings.word.weight, before[:7])
    language_model = model.heads["masked_lm"].language_model
    assert language_model.bias.shape == (7,)
    assert language_model.decoder.weight.shape == (7, 12)
    model.save_pretrained(tmp_path)
    assert_same_parameters(plm.AutoModelForMaskedLM.from_pretrained(tmp_path), model)


def test_new_rows_train_as_the_old_ones_do() -> None:
    model = pretrained("bert")
    model.resize_token_embeddings(33)
    assert model.backbone.embeddings.word.weight.requires_grad
    model.backbone.embeddings.word.weight.requires_grad_(False)
    model.resize_token_embeddings(35)
    assert not model.backbone.embeddings.word.weight.requires_grad


def test_no_words_at_all_are_refused() -> None:
    model = pretrained("bert")
    with pytest.raises(ConfigError, match="vocab_size: expected a positive integer, got 0"):
        model.resize_token_embeddings(0)
    assert model.config.vocab_size == len(model.backbone.embeddings.word.weight) == 31
