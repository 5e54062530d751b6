"""Schedules give the learning rates of the programs they come from."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from plm.errors import ConfigError, UnknownNameError
from plm.training.schedules import SCHEDULES, Phase, Schedule, rate_in_phases, schedule


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


@pytest.mark.parametrize(("step", "rate"), [(0, 1.0), (2233, (1 - 2234 / 6700)), (6699, 0.0)])
def test_polynomial_of_power_one_equals_mlperf(step: int, rate: float) -> None:
    assert schedule("polynomial", {"power": 1.0})(step, 6700, 0) == pytest.approx(rate, abs=2e-4)


@pytest.mark.parametrize(
    ("ours", "build", "options"),
    [
        (schedule("cosine", {"end": 0.1}), "get_cosine_with_min_lr_schedule_with_warmup", {"min_lr_rate": 0.1}),
        (schedule("inverse_sqrt"), "get_inverse_sqrt_schedule", {}),
        (schedule("inverse_sqrt", {"timescale": 20.0}), "get_inverse_sqrt_schedule", {"timescale": 20}),
    ],
)
def test_options_equal_those_of_transformers(ours: Schedule, build: str, options: dict[str, float]) -> None:
    transformers = pytest.importorskip("transformers")
    build_schedule = getattr(transformers.optimization, build)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    counts = {"num_warmup_steps": 7} | ({} if "sqrt" in build else {"num_training_steps": 40})
    theirs = build_schedule(optimizer, **counts, **options)
    for update in range(41):
        assert ours(update, 40, 7) == pytest.approx(theirs.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        theirs.step()


def test_polynomial_without_jump_equals_transformers_one_update_later() -> None:
    """They count from 0, NVIDIA from 1."""
    transformers = pytest.importorskip("transformers")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = transformers.get_polynomial_decay_schedule_with_warmup(optimizer, 7, 40, lr_end=0.05, power=2.0)
    ours = schedule("polynomial", {"power": 2.0, "end": 0.05, "jump": False})
    rates = []
    for _ in range(41):
        rates.append(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()
    for update in range(7, 40):
        left = (1 - (update + 1 - 7) / 33) ** 2
        assert ours(update, 40, 7) == pytest.approx(0.05 + 0.95 * left)
        assert ours(update, 40, 7) == pytest.approx(rates[update + 1])


def test_openai_equals_its_formulas() -> None:
    """opt.py of openai/finetune-transformer-lm, with x the share of the run that this update completes."""
    total, warmup = 50, 5
    for update in range(total):
        x, w = (update + 1) / total, warmup / total
        rise = x / w if update + 1 <= warmup else 1.0
        cosine = x / w if update + 1 <= warmup else 0.5 * (1 + math.cos(math.pi * x))
        expected = {"openai_linear": rise * (1 - x), "openai_cosine": cosine, "openai_constant": rise}
        for name, factor in expected.items():
            assert SCHEDULES.get(name)(update, total, warmup) == pytest.approx(factor, abs=1e-12), (name, update)


def test_nezha_has_no_jump() -> None:
    """Huawei: init / (1 - W / N) * (1 - t / N) after warmup, which is our linear."""
    for update in range(10, 100):
        assert schedule("linear")(update, 100, 10) == pytest.approx((1 - update / 100) / (1 - 10 / 100))


@pytest.mark.parametrize("name", ["linear", "cosine", "polynomial", "bert"])
def test_rates_may_end_above_zero(name: str) -> None:
    ending = schedule(name, {"end": 0.02})
    assert ending(2000, 2000, 100) == pytest.approx(0.02)
    assert ending(50, 2000, 100) == pytest.approx(SCHEDULES.get(name)(50, 2000, 100))


@pytest.mark.parametrize("name", ["linear", "cosine", "polynomial"])
def test_the_jump_is_what_its_name_says(name: str) -> None:
    assert schedule(name, {"jump": False})(500, 1000, 500) == pytest.approx(1.0, abs=2e-3)
    assert schedule(name, {"jump": True})(500, 1000, 500) < 0.8


def test_unknown_names_and_options_are_refused() -> None:
    with pytest.raises(ConfigError, match="polynomial has no option 'powr'; did you mean 'power'"):
        schedule("polynomial", {"powr": 1.0})
    with pytest.raises(ConfigError, match=r"constant has no option 'end' \(it has: none\)"):
        schedule("constant", {"end": 0.1})
    with pytest.raises(UnknownNameError, match="did you mean 'linear'"):
        schedule("linaer")


def test_phases_are_those_of_nvidia() -> None:
    options = {"lr_scheduler": "polynomial"}
    phases = (
        Phase(max_steps=7038, learning_rate=6e-3, warmup_ratio=0.2843, **options),
        Phase(max_steps=1563, learning_rate=4e-3, warmup_ratio=0.128, **options),
    )
    rates = {0: 2.99865e-6, 1999: 5.99729e-3, 7036: 7.15199e-5, 7038: 1.99936e-5, 7237: 3.99872e-3, 8599: 1.01177e-4}
    for update, rate in rates.items():
        assert rate_in_phases(update, phases) == pytest.approx(rate, rel=5e-6), update
    assert rate_in_phases(9000, phases) == 0.0
    with pytest.raises(ConfigError, match="learning_rate: expected a positive number"):
        Phase(max_steps=3, learning_rate=0.0)


@pytest.mark.parametrize("name", SCHEDULES.names())
def test_no_warmup_starts_at_the_top(name: str) -> None:
    assert SCHEDULES.get(name)(0, 1000, 0) == pytest.approx(1.0, abs=1.001e-3)
