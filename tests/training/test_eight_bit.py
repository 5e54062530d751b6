"""Moments of eight bits train as those of 32 do, take a quarter of the memory, and survive a checkpoint."""

from __future__ import annotations

import importlib.util
import sys
import warnings
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from plm.errors import BackendUnavailable
from plm.training.adam import ParameterGroup
from plm.training.eight_bit import adamw_8bit
from plm.training.optimizers import adamw
from plm.training.tree import pack, unpack

HAS_TORCHAO = importlib.util.find_spec("torchao") is not None
needs_torchao = pytest.mark.skipif(not HAS_TORCHAO, reason="needs torchao, as the extra eight-bit brings it")
ROWS = 64  # 64 x 64 numbers are as few as are held in eight bits


@pytest.fixture(autouse=True)
def quiet_compiler() -> Iterator[None]:
    """What torchao and the compiler say about each other is not ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def problem() -> tuple[nn.Linear, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    layer = nn.Linear(ROWS, ROWS)
    with torch.no_grad():
        for held in layer.parameters():
            held.normal_(generator=generator)
    inputs = torch.randn(32, ROWS, generator=generator)
    return layer, inputs, torch.randn(32, ROWS, generator=generator)


def groups(layer: nn.Linear) -> list[ParameterGroup]:
    return [
        {"params": [layer.weight], "lr": 0.02, "weight_decay": 0.01},
        {"params": [layer.bias], "lr": 0.01, "weight_decay": 0.0},
    ]


def train(layer: nn.Linear, optimizer: torch.optim.Optimizer, inputs: Tensor, wanted: Tensor, steps: int) -> float:
    for step in range(steps):
        for group, rate in zip(optimizer.param_groups, (0.02, 0.01), strict=True):
            group["lr"] = rate / (1 + step)  # as schedules set it
        loss = (layer(inputs) - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return float(loss)


def test_without_torchao_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchao.optim", None)
    with pytest.raises(BackendUnavailable, match=r"plm\[eight-bit\]"):
        adamw_8bit(groups(problem()[0]), lr=0.02)


@needs_torchao
def test_a_training_goes_as_with_moments_of_32_bits() -> None:
    ends = []
    for factory in (adamw_8bit, adamw):
        layer, inputs, wanted = problem()
        ends.append(train(layer, factory(groups(layer), lr=0.02), inputs, wanted, steps=20))
    assert ends[0] == pytest.approx(ends[1], rel=0.01)


@needs_torchao
def test_a_state_is_plain_and_goes_on_to_the_bit() -> None:
    layer, inputs, wanted = problem()
    optimizer = adamw_8bit(groups(layer), lr=0.02)
    train(layer, optimizer, inputs, wanted, steps=3)
    values, tensors = pack(optimizer.state_dict())
    assert {type(tensor) for tensor in tensors.values()} == {Tensor}
    moments = [tensor for name, tensor in tensors.items() if name.endswith("codes")]
    assert [(tensor.dtype, tensor.shape) for tensor in moments] == [(torch.uint8, (ROWS, ROWS))] * 2
    copy = nn.Linear(ROWS, ROWS)
    copy.load_state_dict(layer.state_dict())
    again = adamw_8bit(groups(copy), lr=0.02)
    again.load_state_dict(unpack(values, {name: tensor.clone() for name, tensor in tensors.items()}))
    for model, held in ((layer, optimizer), (copy, again)):
        train(model, held, inputs, wanted, steps=2)
    assert torch.equal(layer.weight, copy.weight)
    assert torch.equal(layer.bias, copy.bias)
