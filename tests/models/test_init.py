"""Initialisation gives every parameter the value that training starts from, and touches only what it should."""

from __future__ import annotations

import torch
from torch import nn

from plm.models.init import initialize
from tests.tiny_models import tiny_model


def test_matrices_are_normal_with_the_given_deviation() -> None:
    wide = nn.Sequential(nn.Linear(200, 300), nn.Embedding(300, 200))
    initialize(wide, std=0.05, generator=torch.Generator().manual_seed(0))
    for matrix in (wide[0].weight, wide[1].weight):
        assert isinstance(matrix, nn.Parameter)
        assert abs(matrix.mean().item()) < 0.001
        assert abs(matrix.std().item() - 0.05) < 0.001
        assert matrix.abs().max() > 0.1  # no cut at two deviations


def test_norms_start_as_identity_and_biases_at_zero() -> None:
    module = nn.ModuleList([nn.LayerNorm(4), nn.RMSNorm(4), nn.Linear(4, 3)])
    for parameter in module.parameters():
        nn.init.constant_(parameter, 7.0)
    initialize(module, std=0.02)
    assert module.state_dict()["0.weight"].tolist() == module.state_dict()["1.weight"].tolist() == [1.0] * 4
    assert module.state_dict()["0.bias"].tolist() == [0.0] * 4
    assert module.state_dict()["2.bias"].tolist() == [0.0] * 3


def test_only_the_named_parameters_are_touched_and_told() -> None:
    model = tiny_model("bert", "masked_lm")
    before = {name: held.clone() for name, held in model.named_parameters()}
    wanted = ["backbone.blocks.1.attention_norm.bias", "heads.masked_lm.language_model.bias"]
    assert initialize(model, std=0.02, names=wanted) == wanted
    changed = [name for name, held in model.named_parameters() if not torch.equal(held, before[name])]
    assert changed == wanted


def test_all_parameters_are_told_in_order_when_none_is_named() -> None:
    model = tiny_model("openai-gpt", "double_heads")
    assert initialize(model, std=0.02) == [name for name, _ in model.named_parameters()]


def test_a_seed_decides_all_values() -> None:
    models = [tiny_model("nezha", seed=seed) for seed in range(3)]
    for model, seed in zip(models, (5, 5, 6), strict=True):
        initialize(model, std=0.02, generator=torch.Generator().manual_seed(seed))
    words = [model.backbone.embeddings.word.weight for model in models]
    assert torch.equal(words[0], words[1])
    assert not torch.equal(words[0], words[2])


def test_parameters_keep_their_gradients_and_flags() -> None:
    linear = nn.Linear(3, 3)
    linear.bias.requires_grad_(False)
    initialize(linear, std=0.02)
    assert (linear.weight.requires_grad, linear.bias.requires_grad) == (True, False)
    assert linear.weight.is_leaf
