"""Both kernels compute what they explain, over either layout, and give zeros to rows that may attend to nothing."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from plm.blocks.kernels import DotProduct, Kernel, Relative, attend, masked_softmax
from plm.blocks.layout import PATTERNS, Packed, Padded, Pattern, causal_allowed
from tests.tolerances import assert_close

HEADS, SIZE = 2, 4
KERNELS: dict[str, Kernel] = {
    "dot-product": DotProduct(),
    "relative": Relative(max_relative_position=2, head_size=SIZE),
}
FREE: dict[str, Any] = {"allowed": None, "is_causal": False, "past": 0, "dropout": 0.0}

every_kernel = pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
every_dtype = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])


def rectangles(
    queries: int, keys: int, *, batch: int = 2, dtype: torch.dtype = torch.float32, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values that want gradients."""
    generator = torch.Generator().manual_seed(seed)
    made = (torch.randn(batch, HEADS, n, SIZE, generator=generator) for n in (queries, keys, keys))
    query, key, value = (tensor.to(dtype).requires_grad_() for tensor in made)
    return query, key, value


def test_dot_product_is_softmax_of_scaled_products() -> None:
    query, key, value = rectangles(3, 5)
    scores = torch.einsum("bhid,bhjd->bhij", query, key) / math.sqrt(SIZE)
    expected = torch.einsum("bhij,bhjd->bhid", scores.exp() / scores.exp().sum(-1, keepdim=True), value)
    context, shown, probabilities = KERNELS["dot-product"].explain(query, key, value, **FREE)
    assert_close(shown, scores)
    assert_close(probabilities.sum(-1), torch.ones(2, HEADS, 3))
    assert_close(context, expected)
    assert_close(KERNELS["dot-product"](query, key, value, **FREE), expected)


@every_kernel
@pytest.mark.parametrize("past", [0, 3])
def test_scores_are_those_that_a_kernel_explains(kernel: Kernel, past: int) -> None:
    query, key, value = rectangles(5, 5 + past)
    _, explained, _ = kernel.explain(query, key, value, **{**FREE, "past": past})
    assert_close(kernel.scores(query, key, past=past), explained)
    assert_close(kernel.scores(query[1, 0], key[1, 0], past=past), explained[1, 0])  # whatever leads


@every_kernel
@given(seed=st.integers(0, 10**6), is_causal=st.booleans(), masked=st.booleans(), past=st.integers(0, 3))
@settings(deadline=None, max_examples=25)
def test_a_kernel_computes_what_it_explains_gradients_included(
    kernel: Kernel, seed: int, is_causal: bool, masked: bool, past: int
) -> None:
    queries, keys = 5, 5 + past
    allowed = torch.rand(2, 1, queries, keys, generator=torch.Generator().manual_seed(seed)) < 0.6 if masked else None
    options = {**FREE, "allowed": allowed, "is_causal": is_causal, "past": past}
    inputs, twins = rectangles(queries, keys, seed=seed), rectangles(queries, keys, seed=seed)
    context, (twin, _, _) = kernel(*inputs, **options), kernel.explain(*twins, **options)
    assert_close(context, twin)
    weights = torch.randn(context.shape, generator=torch.Generator().manual_seed(seed + 1))
    for grad, expected in zip(
        torch.autograd.grad((context * weights).sum(), inputs),
        torch.autograd.grad((twin * weights).sum(), twins),
        strict=True,
    ):
        assert_close(grad, expected)


@every_kernel
@pytest.mark.parametrize("explained", [False, True])
@every_dtype
def test_a_row_with_no_live_key_is_zero_and_its_gradients_are_finite(
    kernel: Kernel, explained: bool, dtype: torch.dtype
) -> None:
    allowed = torch.tensor([[True, True, False], [False, False, False]])[:, None, None]  # the second text is empty
    inputs = rectangles(3, 3, dtype=dtype)
    options = {**FREE, "allowed": allowed}
    context = kernel.explain(*inputs, **options)[0] if explained else kernel(*inputs, **options)
    assert torch.equal(context[1], torch.zeros_like(context[1]))
    assert context[0].abs().min() > 0
    for grad in torch.autograd.grad(context.float().square().sum(), inputs):
        assert grad.isfinite().all()
        assert torch.equal(grad[1], torch.zeros_like(grad[1]))


@every_kernel
@pytest.mark.parametrize("masked", [False, True])
def test_causal_rows_behind_a_cache_are_the_last_rows_of_the_triangle(kernel: Kernel, masked: bool) -> None:
    query, key, value = rectangles(6, 6)
    allowed = torch.tensor([[0, 1, 1, 1, 1, 1], [1, 1, 1, 0, 1, 1]], dtype=torch.bool)[:, None, None]
    options = {**FREE, "allowed": allowed if masked else None, "is_causal": True}
    whole = kernel(query, key, value, **options)
    for past in range(6):
        rest = kernel(query[:, :, past:], key, value, **{**options, "past": past})
        assert_close(rest, whole[:, :, past:])


@every_kernel
def test_dropout_hides_probabilities_and_keeps_their_mean(kernel: Kernel) -> None:
    torch.manual_seed(0)
    query, key, value = rectangles(40, 40, batch=8)
    value = torch.ones_like(value)
    plain, dropped = (kernel(query, key, value, **{**FREE, "dropout": rate}) for rate in (0.0, 0.5))
    explained = kernel.explain(query, key, value, **{**FREE, "dropout": 0.5})[0]
    for context in (dropped, explained):
        assert not torch.allclose(context, plain, atol=0.05)
        torch.testing.assert_close(context.mean(), plain.mean(), rtol=0.02, atol=0.02)


@pytest.mark.parametrize("is_causal", [False, True])
def test_masked_softmax_spreads_one_over_the_allowed_keys(is_causal: bool) -> None:
    scores = torch.randn(2, HEADS, 4, 5) * 1e4
    allowed = torch.tensor([[1, 1, 0, 1, 0], [0, 0, 0, 1, 1]], dtype=torch.bool)[:, None, None]
    probabilities = masked_softmax(scores, allowed=allowed, is_causal=is_causal, past=1)
    seen = (allowed & causal_allowed(4, 5, past=1) if is_causal else allowed).expand_as(scores)
    assert torch.equal(probabilities[~seen], torch.zeros(int((~seen).sum())))
    assert_close(probabilities.sum(-1), seen.any(-1).float())


# ---- over layouts


@every_kernel
@pytest.mark.parametrize("pattern", PATTERNS)
@given(lengths=st.lists(st.integers(1, 6), min_size=1, max_size=5), seed=st.integers(0, 10**6))
@settings(deadline=None, max_examples=15)
def test_packed_sequences_attend_as_each_would_alone(
    kernel: Kernel, pattern: Pattern, lengths: list[int], seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    prefixes = [seed % (length + 1) for length in lengths] if pattern == "prefix" else []
    rows = [torch.randn(sum(lengths), HEADS, SIZE, generator=generator) for _ in range(3)]
    packed = attend(kernel, *rows, Packed.from_lengths(lengths, pattern=pattern, prefix_lengths=prefixes))  # type: ignore[call-arg]
    start = 0
    for number, length in enumerate(lengths):
        query, key, value = (part[None, start : start + length] for part in rows)
        layout = Padded.build(
            batch=1,
            length=length,
            pattern=pattern,
            prefix_lengths=torch.tensor([prefixes[number]]) if prefixes else None,
        )
        alone = attend(kernel, query, key.transpose(1, 2), value.transpose(1, 2), layout)
        assert_close(packed[start : start + length], alone[0])
        start += length


# ---- the table of distances


def test_the_table_is_in_no_checkpoint_and_learns_nothing() -> None:
    kernel = Relative(max_relative_position=64, head_size=64)
    assert kernel.table.shape == (129, 64)
    assert list(kernel.state_dict()) == list(kernel.parameters()) == []


def test_the_table_stays_exact_through_changes_of_dtype() -> None:
    kernel = Relative(max_relative_position=3, head_size=SIZE)
    exact = kernel.table.clone()
    assert torch.equal(kernel.to(torch.bfloat16).float().table, exact)
    assert torch.equal(kernel.half().table, exact)


def test_the_table_is_there_after_a_start_without_memory() -> None:
    with torch.device("meta"):
        kernel = Relative(max_relative_position=3, head_size=SIZE)
    assert kernel.table.is_meta
    expected = Relative(max_relative_position=3, head_size=SIZE).table
    assert torch.equal(kernel.to_empty(device="cpu").table, expected)


@every_kernel
@every_dtype
def test_the_context_has_the_dtype_of_the_query(kernel: Kernel, dtype: torch.dtype) -> None:
    inputs, exact = rectangles(4, 4, dtype=dtype), rectangles(4, 4)
    context = kernel(*inputs, **{**FREE, "is_causal": True})
    assert context.dtype == dtype
    assert_close(context, kernel(*exact, **{**FREE, "is_causal": True}), dtype=dtype)
