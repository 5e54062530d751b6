"""Optimizers give the numbers of the programs they come from, and spare biases and norms the decay."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from plm.errors import TrainingError, UnknownNameError
from plm.training.optimizers import OPTIMIZERS, BertAdam, build_optimizer, parameter_groups
from plm.training.schedules import SCHEDULES


class Golden(nn.Module):
    """Least squares with a matrix, which decays, and a bias, which does not."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float64))
        self.bias = nn.Parameter(torch.tensor([0.1, -0.2], dtype=torch.float64))

    def loss(self, update: int) -> Tensor:
        inputs = torch.tensor([[1.0, 0.5], [-0.3, 0.7]], dtype=torch.float64) * (update + 1)
        return ((inputs @ self.kernel + self.bias - 1) ** 2).mean()


def test_bert_adam_equals_google() -> None:
    """Numbers: google-research/bert, optimization.py, under TensorFlow 2.15: lr 1e-2, warmup 10 of 100, clip 1.0."""
    model = Golden()
    optimizer = build_optimizer(model, name="bert_adam", learning_rate=1e-2, weight_decay=0.01)
    seen = []
    for update in range(4):
        optimizer.zero_grad()
        model.loss(update).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 * SCHEDULES.get("bert")(update, 100, 10)
        optimizer.step()
        seen.append(torch.cat([model.kernel.detach().flatten(), model.bias.detach()]).tolist())
    assert seen[0] == [1.0, 2.0, 3.0, 4.0, 0.1, -0.2]
    assert seen[1] == pytest.approx([0.99574689, 1.99572951, 2.99574877, 3.99573254, 0.09584721, -0.20413799], abs=2e-7)
    assert seen[3] == pytest.approx([0.96937083, 1.96928478, 2.96934913, 3.96925987, 0.07161235, -0.22820799], abs=2e-7)


def test_adamw_equals_the_textbook() -> None:
    """Loshchilov and Hutter 2019, algorithm 2, with bias correction, against the fused kernel."""
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    plain = copy.deepcopy(model)
    optimizer = build_optimizer(model, name="adamw", learning_rate=1e-2, weight_decay=0.1)
    moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in plain.parameters()]
    for update in range(1, 6):
        for parameter, twin in zip(model.parameters(), plain.parameters(), strict=True):
            parameter.grad = torch.randn_like(parameter)
            twin.grad = parameter.grad.clone()
        optimizer.step()
        with torch.no_grad():
            for parameter, (mean, square) in zip(plain.parameters(), moments, strict=True):
                assert parameter.grad is not None
                mean.mul_(0.9).add_(0.1 * parameter.grad)
                square.mul_(0.999).add_(0.001 * parameter.grad**2)
                step = (mean / (1 - 0.9**update)) / ((square / (1 - 0.999**update)).sqrt() + 1e-8)
                decay = 0.1 if parameter.ndim == 2 else 0.0
                parameter -= 1e-2 * (step + decay * parameter)
    for parameter, twin in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(parameter, twin, rtol=1e-5, atol=1e-6)


def test_vectors_do_not_decay_and_frozen_parameters_are_left_out() -> None:
    model = nn.Sequential(nn.Embedding(5, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    model[0].weight.requires_grad_(False)
    decayed, spared = parameter_groups(model, weight_decay=0.01)
    assert (decayed["weight_decay"], [p.shape for p in decayed["params"]]) == (0.01, [(2, 4)])
    assert (spared["weight_decay"], [p.shape for p in spared["params"]]) == (0.0, [(4,), (4,), (2,)])
    assert len(parameter_groups(nn.Embedding(2, 2), weight_decay=0.01)) == 1


def test_nothing_to_train_is_refused() -> None:
    model = nn.Linear(2, 2).requires_grad_(False)
    with pytest.raises(TrainingError, match="nothing to train: no parameter"):
        parameter_groups(model, weight_decay=0.01)
    with pytest.raises(UnknownNameError, match="did you mean 'adamw'"):
        build_optimizer(nn.Linear(2, 2), name="adamww", learning_rate=1.0, weight_decay=0.0)


@pytest.mark.parametrize("name", OPTIMIZERS.names())
def test_parameters_without_gradient_stay_as_they_are(name: str) -> None:
    model = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
    before = copy.deepcopy(model[1])
    optimizer = build_optimizer(model, name=name, learning_rate=0.1, weight_decay=0.1)
    model[0](torch.ones(1, 2)).sum().backward()
    optimizer.step()
    assert torch.equal(model[1].weight, before.weight)


@pytest.mark.parametrize("name", OPTIMIZERS.names())
def test_state_survives_saving(name: str) -> None:
    def run(model: nn.Module, optimizer: torch.optim.Optimizer, updates: int) -> None:
        for _ in range(updates):
            optimizer.zero_grad()
            model(torch.ones(2, 3)).square().sum().backward()
            optimizer.step()

    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    optimizer = build_optimizer(model, name=name, learning_rate=0.1, weight_decay=0.01)
    run(model, optimizer, 3)
    twin = copy.deepcopy(model)
    continued = build_optimizer(twin, name=name, learning_rate=0.1, weight_decay=0.01)
    continued.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    run(model, optimizer, 3)
    run(twin, continued, 3)
    assert torch.equal(model.weight, twin.weight)


def test_bert_adam_refuses_closures() -> None:
    optimizer = BertAdam([torch.zeros(1, requires_grad=True)], lr=0.1)
    with pytest.raises(TrainingError, match="takes no closure"):
        optimizer.step(lambda: 0.0)  # type: ignore[arg-type]
