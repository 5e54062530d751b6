"""Adam gives the numbers of the programs it comes from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from plm.training.adam import BertAdam, MomentOptimizer, OpenAIAdam
from plm.training.schedules import SCHEDULES
from tests.training.least_squares import LeastSquares


def test_bert_adam_equals_google() -> None:
    """Numbers: google-research/bert, optimization.py, under TensorFlow 2.15: lr 1e-2, warmup 10 of 100, clip 1.0."""
    model = LeastSquares()
    optimizer = BertAdam(model.groups(), lr=1e-2)
    seen = []
    for update in range(4):
        model.differentiate(update)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 * SCHEDULES.get("bert")(update, 100, 10)
        optimizer.step()
        seen.append(model.values())
    assert seen[0] == [1.0, 2.0, 3.0, 4.0, 0.1, -0.2]
    assert seen[1] == pytest.approx([0.99574689, 1.99572951, 2.99574877, 3.99573254, 0.09584721, -0.20413799], abs=2e-7)
    assert seen[3] == pytest.approx([0.96937083, 1.96928478, 2.96934913, 3.96925987, 0.07161235, -0.22820799], abs=2e-7)


def test_openai_adam_equals_its_formula() -> None:
    """opt.py of openai/finetune-transformer-lm, written out in NumPy: five steps of a warmup and its decay."""
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(size=(2, 3)), rng.normal(size=3)
    ours = [nn.Parameter(torch.tensor(weight)), nn.Parameter(torch.tensor(bias))]
    groups = [{"params": ours[:1], "weight_decay": 0.01}, {"params": ours[1:], "weight_decay": 0.0}]
    optimizer = OpenAIAdam(groups, lr=6.25e-2)
    theirs = [[weight, 0.01, 0.0, 0.0], [bias, 0.0, 0.0, 0.0]]
    for step in range(1, 6):
        factor = (step / 2 if step <= 2 else 1.0) * (1 - step / 10)
        for parameter, held in zip(ours, theirs, strict=True):
            gradient = rng.normal(size=held[0].shape)
            parameter.grad = torch.tensor(gradient)
            held[2], held[3] = 0.9 * held[2] + 0.1 * gradient, 0.999 * held[3] + 0.001 * gradient**2
            rate = 6.25e-2 * factor * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
            held[0] = held[0] - rate * (held[2] / (np.sqrt(held[3]) + 1e-8) + held[1] * held[0])
        for group in optimizer.param_groups:
            group["lr"] = 6.25e-2 * SCHEDULES.get("openai_linear")(step - 1, 10, 2)
        optimizer.step()
        for parameter, held in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(parameter.detach().numpy(), held[0], rtol=1e-12)


@pytest.mark.parametrize("kind", [BertAdam, OpenAIAdam])
@settings(deadline=None, max_examples=15)
@given(data=st.data())
def test_tensors_do_not_feel_each_other(kind: type[BertAdam], data: st.DataObject) -> None:
    """All tensors at once give what each of them gives alone, also when some have no gradient now and then."""
    torch.manual_seed(data.draw(st.integers(0, 99)))
    together = [nn.Parameter(torch.randn(shape)) for shape in ((2, 3), (4,), (1, 2))]
    alone = [nn.Parameter(held.detach().clone()) for held in together]
    optimizers: list[MomentOptimizer] = [kind(together, lr=0.1), *(kind([held], lr=0.1) for held in alone)]
    for _ in range(4):
        for held, twin in zip(together, alone, strict=True):
            held.grad = torch.randn_like(held) if data.draw(st.booleans()) else None
            twin.grad = None if held.grad is None else held.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    assert all(torch.equal(*pair) for pair in zip(together, alone, strict=True))
