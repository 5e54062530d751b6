"""LAMB gives the numbers of the programs it comes from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.optim import Optimizer

from plm.errors import TrainingError
from plm.training.lamb import Lamb
from plm.training.optimizers import OPTIMIZERS
from tests.training.least_squares import LeastSquares

BETAS = (0.9, 0.999)


def steps(model: LeastSquares, optimizer: Optimizer, count: int) -> list[list[float]]:
    seen = []
    for update in range(count):
        model.differentiate(update)
        optimizer.step()
        seen.append(model.values())
    return seen


def test_lamb_equals_nvidia() -> None:
    """Numbers: a NumPy twin of NVIDIA's FusedLAMBAMP; NVIDIA's TensorFlow LAMB agrees where all tensors are trusted."""
    model = LeastSquares()
    seen = steps(model, OPTIMIZERS.get("lamb")(model.groups(), lr=1e-2, betas=BETAS), 4)
    assert seen[0] == pytest.approx([0.97301628, 1.97274906, 2.97248194, 3.97221473, 0.09000002, -0.20999998], abs=1e-8)
    assert seen[3] == pytest.approx([0.89341453, 1.8922937, 2.8916165, 3.89049556, 0.06167612, -0.23820079], abs=1e-8)


def test_trust_on_all_equals_nvidia_in_tensorflow() -> None:
    model = LeastSquares()
    seen = steps(model, Lamb(model.groups(), lr=1e-2, max_grad_norm=1.0, trust="all"), 4)
    assert seen[0][4:] == pytest.approx([0.09841886, -0.20158114], abs=1e-8)
    assert seen[3] == pytest.approx([0.89341401, 1.89229228, 2.89161887, 3.89049512, 0.09363367, -0.20634471], abs=1e-8)


@pytest.mark.parametrize(
    ("decay", "expected"),
    [
        (0.01, [[0.97788965, -2.02145371, 3.02123483], [0.94893284, -2.03193707, 3.0428865]]),
        (0.0, [[0.97810856, -2.02189155, 3.02189158]]),
    ],
)
def test_lamb_nezha_equals_huawei(decay: float, expected: list[list[float]]) -> None:
    """Numbers: a NumPy twin of optimization.py of NEZHA-TensorFlow; gradients are below norm 1."""
    weight = nn.Parameter(torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64))
    other = nn.Parameter(torch.zeros(1, 1, dtype=torch.float64))  # decays, and so says how much in the norms
    groups = [{"params": [weight], "weight_decay": decay}, {"params": [other], "weight_decay": 0.01}]
    optimizer = OPTIMIZERS.get("lamb_nezha")(groups, lr=0.01, betas=BETAS)
    for gradient, values in zip(([0.1, 0.2, -0.3], [0.0, -0.1, 0.05]), expected, strict=False):
        weight.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
        assert weight.tolist() == pytest.approx(values, abs=1e-8)


def numpy_lamb(
    weight: np.ndarray, gradients: list[np.ndarray], *, correct: bool, averaging: bool, bound: float
) -> np.ndarray:
    """Algorithm 2 of You et al., lr 0.1, decay 0.01, eps 1e-6."""
    mean, square = np.zeros_like(weight), np.zeros_like(weight)
    for step, gradient in enumerate(gradients, start=1):
        mean = 0.9 * mean + (0.1 if averaging else 1.0) * gradient
        square = 0.999 * square + 0.001 * gradient**2
        late = (1 - 0.9**step, 1 - 0.999**step) if correct else (1.0, 1.0)
        update = (mean / late[0]) / (np.sqrt(square / late[1]) + 1e-6) + 0.01 * weight
        weight = weight - 0.1 * min(bound, np.linalg.norm(weight) / np.linalg.norm(update)) * update
    return weight


@settings(deadline=None, max_examples=25)
@given(st.booleans(), st.booleans(), st.sampled_from([0.01, 0.5, np.inf]), st.integers(0, 99))
def test_every_flag_does_what_it_says(correct: bool, averaging: bool, bound: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    start, gradients = rng.normal(size=(3, 2)), [rng.normal(size=(3, 2)) for _ in range(4)]
    weight = nn.Parameter(torch.tensor(start))
    optimizer = Lamb(
        [weight],
        lr=0.1,
        bias_correction=correct,
        grad_averaging=averaging,
        trust_bounds=None if bound == np.inf else (0.0, bound),
    )
    for gradient in gradients:
        weight.grad = torch.tensor(gradient)
        optimizer.step()
    expected = numpy_lamb(start, gradients, correct=correct, averaging=averaging, bound=bound)
    np.testing.assert_allclose(weight.detach().numpy(), expected, rtol=1e-10)


def test_gradients_are_normalized_over_all_groups_and_left_as_they_are() -> None:
    weight, bias = (nn.Parameter(torch.ones(shape)) for shape in ((1, 1), (1,)))
    weight.grad, bias.grad = torch.tensor([[3.0]]), torch.tensor([4.0])
    optimizer = Lamb([{"params": [weight]}, {"params": [bias]}], lr=0.1, max_grad_norm=1.0)
    optimizer.step()
    assert (optimizer.state[weight]["m"].item(), optimizer.state[bias]["m"].item()) == pytest.approx((0.06, 0.08))
    assert (weight.grad.item(), bias.grad.item()) == (3.0, 4.0)


@pytest.mark.parametrize(("start", "gradient"), [(0.0, 1.0), (1.0, 0.0), (0.0, 0.0)])
def test_a_norm_of_zero_leaves_the_update_as_it_is(start: float, gradient: float) -> None:
    weight = nn.Parameter(torch.full((2, 2), start))
    weight.grad = torch.full((2, 2), gradient)
    Lamb([weight], lr=0.1, weight_decay=0.0).step()
    assert torch.allclose(weight, torch.full((2, 2), start - 0.1 * gradient))


def test_the_first_update_is_finite() -> None:
    weight = nn.Parameter(torch.ones(2, 2))
    weight.grad = torch.full((2, 2), 1e-3)
    optimizer = Lamb([weight], lr=0.1)
    optimizer.step()
    assert isinstance(optimizer.state[weight]["step"], Tensor)
    assert weight.isfinite().all()
    assert not torch.equal(weight, torch.ones(2, 2))


def test_unknown_flags_are_refused() -> None:
    with pytest.raises(TrainingError, match="trust: 'some' is not one of 'decayed', 'all'"):
        Lamb([torch.zeros(1, requires_grad=True)], lr=0.1, trust="some")  # type: ignore[arg-type]


def test_a_restart_counts_steps_from_one_and_keeps_the_running_means() -> None:
    """Twin: the state "step" of another optimizer is set to 0 by hand."""
    ours, theirs = LeastSquares(), LeastSquares()
    groups = [{**group, "restarts": (2,)} for group in ours.groups()]
    restarted, plain = Lamb(groups, lr=1e-2), Lamb(theirs.groups(), lr=1e-2)
    seen = steps(ours, restarted, 4)
    expected = steps(theirs, plain, 2)
    for state in plain.state.values():
        state["step"].zero_()
    for update in (2, 3):
        theirs.differentiate(update)
        plain.step()
        expected.append(theirs.values())
    assert seen == expected
    assert seen[2] != steps(LeastSquares(), Lamb(LeastSquares().groups(), lr=1e-2), 3)[2]
