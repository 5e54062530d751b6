"""Schedules give the learning rates of the programs they come from."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from plm.training.schedules import SCHEDULES


@pytest.mark.parametrize(("update", "rate"), [(0, 0), (5, 5e-5), (9, 9e-5), (10, 9e-5), (50, 5e-5), (99, 1e-6)])
def test_bert_equals_google(update: int, rate: float) -> None:
    assert 1e-4 * SCHEDULES.get("bert")(update, 100, 10) == pytest.approx(rate)


@pytest.mark.parametrize(
    ("base", "total", "warmup", "step", "rate"),
    [
        (6e-3, 7038, 0.2843, 1, 2.99865e-6),
        (6e-3, 7038, 0.2843, 1000, 2.99865e-3),
        (6e-3, 7038, 0.2843, 2000, 5.99729e-3),
        (6e-3, 7038, 0.2843, 2001, 5.07589e-3),
        (6e-3, 7038, 0.2843, 3519, 4.24264e-3),
        (6e-3, 7038, 0.2843, 7037, 7.15199e-5),
        (6e-3, 7038, 0.2843, 7038, 0.0),
        (4e-3, 1563, 0.128, 1, 1.99936e-5),
        (4e-3, 1563, 0.128, 100, 1.99936e-3),
        (4e-3, 1563, 0.128, 200, 3.99872e-3),
        (4e-3, 1563, 0.128, 201, 3.73395e-3),
        (4e-3, 1563, 0.128, 782, 2.82752e-3),
        (4e-3, 1563, 0.128, 1562, 1.01177e-4),
    ],
)
def test_polynomial_equals_nvidia(base: float, total: int, warmup: float, step: int, rate: float) -> None:
    # NVIDIA counts steps from 1 and gives warmup as a share.
    assert base * SCHEDULES.get("polynomial")(step - 1, total, warmup * total) == pytest.approx(rate, rel=5e-6)


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_linear_and_cosine_equal_transformers(name: str) -> None:
    transformers = pytest.importorskip("transformers")
    build = {
        "linear": transformers.get_linear_schedule_with_warmup,
        "cosine": transformers.get_cosine_schedule_with_warmup,
    }[name]
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = build(optimizer, 7, 40)
    for update in range(41):
        assert SCHEDULES.get(name)(update, 40, 7) == pytest.approx(theirs.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        theirs.step()


def test_constant_rises_and_stays() -> None:
    assert [SCHEDULES.get("constant")(update, 10, 2) for update in (0, 1, 2, 9)] == [0.0, 0.5, 1.0, 1.0]
    assert SCHEDULES.get("constant")(0, 10, 0) == 1.0


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(SCHEDULES.names()), st.integers(1, 500), st.floats(0, 500), st.integers(0, 600))
def test_factors_are_shares(name: str, total: int, warmup: float, update: int) -> None:
    assert 0.0 <= SCHEDULES.get(name)(update, total, warmup) <= 1.0


@pytest.mark.parametrize("name", SCHEDULES.names())
def test_no_warmup_starts_at_the_top(name: str) -> None:
    assert SCHEDULES.get(name)(0, 1000, 0) == pytest.approx(1.0, abs=1e-3)
