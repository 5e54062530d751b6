"""The optimizer that a config describes, and what holds for every one of them."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from plm.errors import ConfigError, TrainingError
from plm.training import TrainingConfig
from plm.training.adam import ParameterGroup
from plm.training.optimizers import OPTIMIZERS, build_optimizer

# test_eight_bit has tests of the one that needs a package more.
NAMES = [name for name in OPTIMIZERS.names() if name != "adamw_8bit"]


def config(**values: object) -> TrainingConfig:
    return TrainingConfig(**{"learning_rate": 0.1, "weight_decay": 0.01} | values)  # type: ignore[arg-type]


def run(model: nn.Module, optimizer: torch.optim.Optimizer, updates: int, *, start: int = 0) -> None:
    for update in range(start, start + updates):
        optimizer.zero_grad()
        (model(torch.ones(2, 3) + update).square() - update).sum().backward()
        optimizer.step()


def test_adamw_equals_the_textbook() -> None:
    """Loshchilov and Hutter 2019, algorithm 2, with bias correction, against the fused kernel."""
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    plain = copy.deepcopy(model)
    optimizer = build_optimizer(model, config(learning_rate=1e-2, weight_decay=0.1, adam_beta2=0.99))
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
                square.mul_(0.99).add_(0.01 * parameter.grad**2)
                step = (mean / (1 - 0.9**update)) / ((square / (1 - 0.99**update)).sqrt() + 1e-8)
                decay = 0.1 if parameter.ndim == 2 else 0.0
                parameter -= 1e-2 * (step + decay * parameter)
    for parameter, twin in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(parameter, twin, rtol=1e-5, atol=1e-6)


def test_adamw_takes_the_steps_of_palm() -> None:
    """Paddle's Adam puts the correction into the learning rate and the epsilon; PALM decays by the old weight."""
    weight = nn.Parameter(torch.tensor([[1.0, -2.0]], dtype=torch.float64))
    optimizer = OPTIMIZERS.get("adamw")([{"params": [weight], "weight_decay": 0.1}], lr=0.01, betas=(0.9, 0.999))
    plain, mean, square = weight.detach().clone(), torch.zeros(1, 2).double(), torch.zeros(1, 2).double()
    for update in range(1, 5):
        weight.grad = torch.tensor([[0.3, -0.1]], dtype=torch.float64) * update
        mean, square = 0.9 * mean + 0.1 * weight.grad, 0.999 * square + 0.001 * weight.grad**2
        late = (1 - 0.999**update) ** 0.5
        plain = plain - 0.01 * late / (1 - 0.9**update) * mean / (square.sqrt() + 1e-8 * late) - plain * 0.1 * 0.01
        optimizer.step()
    torch.testing.assert_close(weight.detach(), plain, rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_without_gradient_stay_as_they_are(name: str) -> None:
    model = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
    before = copy.deepcopy(model[1])
    optimizer = build_optimizer(model, config(optimizer=name, weight_decay=0.1))
    model[0](torch.ones(1, 2)).sum().backward()
    optimizer.step()
    assert torch.equal(model[1].weight, before.weight)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("name", NAMES)
def test_a_continued_run_is_the_same_bit_by_bit(name: str, dtype: torch.dtype) -> None:
    def tensors(state: object) -> Iterator[Tensor]:
        assert isinstance(state, dict)
        return (held for each in state["state"].values() for held in each.values())

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2)).to(dtype)
    model.register_forward_pre_hook(lambda _, inputs: (inputs[0].to(dtype),))
    settings = config(optimizer=name, learning_rates={"2.*": 0.03})
    optimizer = build_optimizer(model, settings)
    run(model, optimizer, 3)
    twin = copy.deepcopy(model)
    continued = build_optimizer(twin, settings)
    continued.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert all(isinstance(held, Tensor) for held in tensors(continued.state_dict()))
    run(model, optimizer, 4, start=3)
    run(twin, continued, 4, start=3)
    assert all(torch.equal(*pair) for pair in zip(model.parameters(), twin.parameters(), strict=True))
    states = zip(tensors(optimizer.state_dict()), tensors(continued.state_dict()), strict=True)
    assert all(torch.equal(*pair) for pair in states)


@pytest.mark.parametrize("name", NAMES)
def test_the_options_of_the_config_arrive(name: str) -> None:
    model = nn.Linear(3, 2)
    usual = build_optimizer(model, config(optimizer=name)).param_groups[0]
    other = build_optimizer(model, config(optimizer=name, adam_beta1=0.8, adam_beta2=0.7, adam_epsilon=0.5))
    assert (usual["betas"], usual["eps"]) == ((0.9, 0.999), 1e-8 if name in ("adamw", "openai_adam") else 1e-6)
    assert {(group["betas"], group["eps"]) for group in other.param_groups} == {((0.8, 0.7), 0.5)}


def test_groups_are_those_that_the_config_asks_for() -> None:
    optimizer = build_optimizer(nn.Linear(3, 2), config(learning_rates={"bias": 0.5}, decay_vectors=True))
    assert [(group["lr"], group["weight_decay"]) for group in optimizer.param_groups] == [(0.1, 0.01), (0.5, 0.01)]


def test_classes_of_torch_can_be_added_as_they_are() -> None:
    OPTIMIZERS.add("nadam", torch.optim.NAdam)
    try:
        assert isinstance(build_optimizer(nn.Linear(3, 2), config(optimizer="nadam")), torch.optim.NAdam)
    finally:
        OPTIMIZERS.remove("nadam")


def test_a_function_can_be_added() -> None:
    def plain(params: list[ParameterGroup], /, *, lr: float, betas: tuple[float, float], eps: float = 0) -> object:
        return torch.optim.SGD(params, lr=lr, momentum=betas[0])

    OPTIMIZERS.add("plain", plain)  # type: ignore[arg-type]
    try:
        assert build_optimizer(nn.Linear(3, 2), config(optimizer="plain")).param_groups[0]["momentum"] == 0.9
    finally:
        OPTIMIZERS.remove("plain")


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"'adamww' is not one of .*; did you mean 'adamw'"):
        config(optimizer="adamww")


@pytest.mark.parametrize("name", [name for name in NAMES if name != "adamw"])
def test_closures_are_refused(name: str) -> None:
    optimizer = build_optimizer(nn.Linear(3, 2), config(optimizer=name))
    with pytest.raises(TrainingError, match="takes no closure"):
        optimizer.step(lambda: 0.0)
