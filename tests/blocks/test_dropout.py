"""plm/blocks/dropout.py."""

from __future__ import annotations

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from plm.blocks.dropout import Dropout, boost, kept


def test_the_share_that_is_dropped_is_what_was_asked_for() -> None:
    torch.manual_seed(0)
    count = 1 << 20
    for share in (0.1, 0.5, 0.9):
        measured = 1.0 - kept((count,), share).mean().item()
        assert abs(measured - share) < 5 * (share * (1 - share) / count) ** 0.5 + 2**-16


def test_neighbours_are_dropped_independently() -> None:
    torch.manual_seed(0)
    mask = kept((1 << 20,), 0.1)
    both = (mask[1:] * mask[:-1]).mean().item()
    assert abs(both - 0.81) < 2e-3


def test_survivors_grow_so_that_the_mean_stays() -> None:
    torch.manual_seed(0)
    values = Dropout(0.25)(torch.ones(1 << 20))
    assert values.unique().tolist() == pytest.approx([0.0, 1 / 0.75])
    assert values.mean().item() == pytest.approx(1.0, abs=5e-3)
    assert boost(0.25) == 1 / 0.75


def test_the_bits_are_a_function_of_the_state_of_torch() -> None:
    module, values = Dropout(0.3), torch.ones(7, 11)
    torch.manual_seed(5)
    first, second = module(values), module(values)
    torch.manual_seed(5)
    assert torch.equal(module(values), first)
    assert torch.equal(module(values), second)
    assert not torch.equal(first, second)


def test_the_gradient_passes_where_the_values_did() -> None:
    values = torch.ones(50, 50, requires_grad=True)
    dropped = Dropout(0.4)(values)
    dropped.sum().backward()
    assert torch.equal(values.grad, dropped.detach())


def test_gradient_checkpointing_draws_the_same_bits_again() -> None:
    weight = torch.ones(64, 64, requires_grad=True)
    seen = []

    def noisy(rows: torch.Tensor) -> torch.Tensor:
        seen.append(Dropout(0.5)(rows))
        return seen[-1].square()

    checkpoint(noisy, weight, use_reentrant=False).sum().backward()
    assert len(seen) == 2
    assert torch.equal(seen[0], seen[1])


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_nothing_is_dropped_in_evaluation(share: float) -> None:
    values = torch.randn(5, 5)
    assert torch.equal(Dropout(share).eval()(values), values)


def test_dropping_nothing_draws_nothing() -> None:
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    Dropout(0.0)(torch.ones(9))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_everything_can_be_dropped() -> None:
    assert not Dropout(1.0)(torch.ones(9)).any()


def test_sixteen_bit_values_stay_sixteen_bit() -> None:
    assert Dropout(0.5)(torch.ones(4, dtype=torch.bfloat16)).dtype == torch.bfloat16
