"""Each activation computes its formula, and the two gelus are two."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from plm.blocks.activations import ACTIVATIONS
from plm.errors import UnknownNameError
from tests.tolerances import assert_close

FORMULAS: dict[str, Callable[[float], float]] = {
    "gelu": lambda x: 0.5 * x * (1 + math.erf(x / math.sqrt(2))),
    "gelu_new": lambda x: 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "relu": lambda x: max(x, 0.0),
    "silu": lambda x: x / (1 + math.exp(-x)),
    "tanh": math.tanh,
}


def test_every_activation_has_a_formula_here() -> None:
    assert ACTIVATIONS.names() == list(FORMULAS)


@pytest.mark.parametrize("name", FORMULAS)
def test_an_activation_computes_its_formula(name: str) -> None:
    points = torch.linspace(-6, 6, 97, dtype=torch.float64)
    expected = torch.tensor([FORMULAS[name](point) for point in points.tolist()], dtype=torch.float64)
    assert_close(ACTIVATIONS.get(name)(points), expected)


def test_gelu_and_gelu_new_differ_by_more_than_a_parity_test_allows() -> None:
    points = torch.linspace(-4, 4, 97)
    difference = (ACTIVATIONS.get("gelu")(points) - ACTIVATIONS.get("gelu_new")(points)).abs().max()
    assert difference > 1e-4


def test_an_unknown_activation_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown activation 'gelo'; did you mean 'gelu'\?"):
        ACTIVATIONS.get("gelo")
