"""plm/blocks/packed_attention.py."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from plm.blocks.kernels import DotProduct, attend
from plm.blocks.layout import Packed, Pattern
from plm.blocks.packed_attention import attend_packed

LENGTHS = (3, 5, 5, 9, 40, 41, 1)


def inputs(tokens: int, *, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    query, key, value = (torch.randn(tokens, 2, 4, dtype=dtype, requires_grad=True) for _ in range(3))
    return query, key, value


def one_by_one(query: Tensor, key: Tensor, value: Tensor, layout: Packed) -> Tensor:
    """torch's own attention, sequence by sequence."""
    rows = [torch.split(part, list(layout.lengths)) for part in (query, key, value)]
    parts = [
        F.scaled_dot_product_attention(*(part.transpose(0, 1) for part in each), is_causal=layout.pattern == "causal")
        for each in zip(*rows, strict=True)
    ]
    return torch.cat([part.transpose(0, 1) for part in parts])


@pytest.mark.parametrize("pattern", ["full", "causal"])
def test_context_and_gradients_are_those_of_torch(pattern: Pattern) -> None:
    layout = Packed.from_lengths(LENGTHS, pattern=pattern)
    given = inputs(sum(LENGTHS))
    ours, theirs = attend_packed(*given, layout, dropout=0.0), one_by_one(*given, layout)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-14)
    weights = torch.randn_like(ours)
    for our, their in zip(
        torch.autograd.grad(ours, given, weights), torch.autograd.grad(theirs, given, weights), strict=True
    ):
        torch.testing.assert_close(our, their, rtol=0, atol=1e-13)


@pytest.mark.parametrize("pattern", ["full", "causal"])
def test_gradients_under_dropout_are_those_of_finite_differences(pattern: Pattern) -> None:
    layout = Packed.from_lengths((3, 4, 4), pattern=pattern)

    def same_bits(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        torch.manual_seed(3)
        return attend_packed(query, key, value, layout, dropout=0.3)

    assert torch.autograd.gradcheck(same_bits, inputs(11))


def test_dropout_keeps_the_mean() -> None:
    layout = Packed.from_lengths((6, 7))
    given = [part.detach() for part in inputs(13)]
    torch.manual_seed(1)
    mean = torch.stack([attend_packed(*given, layout, dropout=0.5) for _ in range(4000)]).mean(0)
    torch.testing.assert_close(mean, attend_packed(*given, layout, dropout=0.0), rtol=0, atol=0.1)


def test_what_dropout_strikes_is_what_the_plain_kernel_would_weigh() -> None:
    """With values of one, a row of the context is the sum of its weights: what survived, times what survivors get."""
    layout = Packed.from_lengths((50, 50))
    query, key, value = (part.detach() for part in inputs(100))
    torch.manual_seed(1)
    sums = attend_packed(query, key, torch.ones_like(value), layout, dropout=0.2)
    assert sums.mean().item() == pytest.approx(1.0, abs=0.05)
    assert sums.std().item() > 0.01


def test_sixteen_bit_inputs_get_sixteen_bit_gradients_of_a_computation_in_thirty_two() -> None:
    layout = Packed.from_lengths(LENGTHS)
    given = inputs(sum(LENGTHS), dtype=torch.bfloat16)
    exact = [part.detach().float().requires_grad_() for part in given]
    ours, theirs = attend_packed(*given, layout, dropout=0.0), attend_packed(*exact, layout, dropout=0.0)
    assert ours.dtype == torch.bfloat16
    torch.testing.assert_close(ours, theirs.bfloat16(), rtol=0, atol=0)
    for our in torch.autograd.grad(ours.sum(), given):
        assert our.dtype == torch.bfloat16


def test_training_takes_this_path_and_evaluation_agrees_with_it() -> None:
    layout = Packed.from_lengths(LENGTHS)
    given = inputs(sum(LENGTHS))
    trained = attend(DotProduct(), *given, layout)
    assert "PackedAttention" in type(trained.grad_fn).__name__
    with torch.no_grad():
        torch.testing.assert_close(attend(DotProduct(), *given, layout), trained, rtol=0, atol=1e-14)
