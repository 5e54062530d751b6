"""Attention scores are compared where both tokens are real, in either layout, fast or step by step."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from plm.blocks.kernels import DotProduct, Kernel, Relative
from plm.blocks.layout import Pattern
from plm.distillation.scores import Projections, scores_distance, scores_distance_reference
from plm.distillation.view import View
from tests.distillation.pairs import batch_of
from tests.tolerances import assert_close

SIZES = (4, 6)
BATCH = batch_of()

KERNELS = {
    "dot-product": lambda size: DotProduct(),
    "relative": lambda size: Relative(max_relative_position=2, head_size=size),
}
every_kernel = pytest.mark.parametrize("kind", KERNELS)
every_pattern = pytest.mark.parametrize("pattern", ["full", "causal"])


def view_of(*, packed: bool, pattern: Pattern = "full") -> View:
    view = View.packed(BATCH, pattern=pattern) if packed else View.padded(BATCH, pattern=pattern)
    assert view is not None
    return view


def parts(view: View, kernels: tuple[Kernel, Kernel], heads: tuple[int, int] = (3, 3)) -> tuple[Projections, ...]:
    """Of a student and a teacher; the same numbers at real tokens in either layout."""
    made = []
    for kernel, count, size in zip(kernels, heads, SIZES, strict=True):
        generator = torch.Generator().manual_seed(size)
        rows = [torch.randn(5, 9, count, size, generator=generator) for _ in range(2)]
        query, key = (view.layout.rows(tensor).clone().requires_grad_() for tensor in rows)
        made.append(Projections(query, key, kernel))
    return tuple(made)


def of_kind(kind: str) -> tuple[Kernel, Kernel]:
    first, second = (KERNELS[kind](size) for size in SIZES)
    return first, second


def expected(pattern: str, heads: tuple[int, int] = (3, 3)) -> Tensor:
    """By loops over texts, heads and pairs of tokens, for dot products."""
    own, theirs = parts(view_of(packed=False), (DotProduct(), DotProduct()), heads)
    squares = []
    for text, live in enumerate(BATCH["attention_mask"].bool()):
        scores = [
            torch.einsum("ihd,jhd->hij", part.query[text][live], part.key[text][live]) / math.sqrt(part.query.shape[-1])
            for part in (own, theirs)
        ]
        if heads[0] != heads[1]:
            scores = [each.mean(0, keepdim=True) for each in scores]
        counted = torch.ones(scores[0].shape, dtype=torch.bool)
        squares.append((scores[0] - scores[1]).square()[counted.tril() if pattern == "causal" else counted])
    return torch.cat(squares).mean()


@pytest.mark.parametrize("packed", [True, False], ids=["packed", "padded"])
@every_pattern
def test_it_is_the_mean_over_pairs_of_real_tokens(pattern: Pattern, packed: bool) -> None:
    view = view_of(packed=packed, pattern=pattern)
    assert_close(scores_distance(*parts(view, (DotProduct(), DotProduct())), view.layout), expected(pattern))


@pytest.mark.parametrize("packed", [True, False], ids=["packed", "padded"])
def test_other_numbers_of_heads_are_compared_by_their_means(packed: bool) -> None:
    view = view_of(packed=packed)
    made = parts(view, (DotProduct(), DotProduct()), (2, 4))
    assert_close(scores_distance(*made, view.layout, averages_heads=True), expected("full", (2, 4)))


@every_kernel
@every_pattern
@pytest.mark.parametrize("packed", [True, False], ids=["packed", "padded"])
@pytest.mark.parametrize("averages_heads", [True, False])
def test_the_fast_way_is_the_plain_one_gradients_included(
    kind: str, pattern: Pattern, packed: bool, averages_heads: bool
) -> None:
    view, found = view_of(packed=packed, pattern=pattern), []
    for distance in (scores_distance, scores_distance_reference):
        own, theirs = parts(view, of_kind(kind))
        loss = distance(own, theirs, view.layout, averages_heads=averages_heads)
        (3.0 * loss).backward()
        assert theirs.query.grad is None
        assert theirs.key.grad is None
        found.append((loss, own.query.grad, own.key.grad))
    for fast, plain in zip(*found, strict=True):
        assert fast is not None
        assert_close(fast, plain)
        assert fast.detach().abs().sum() > 0


@every_kernel
def test_both_layouts_are_the_same(kind: str) -> None:
    views = [view_of(packed=packed) for packed in (True, False)]
    assert_close(*(scores_distance(*parts(view, of_kind(kind)), view.layout) for view in views))


def test_half_precision_is_compared_in_single() -> None:
    view = view_of(packed=True)
    own, theirs = parts(view, (DotProduct(), DotProduct()))
    halves = [
        Projections(*(rows.detach().bfloat16().requires_grad_() for rows in (each.query, each.key)), each.kernel)
        for each in (own, theirs)
    ]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = scores_distance(*halves, view.layout)
    loss.backward()
    assert loss.dtype == torch.float32
    assert halves[0].query.grad is not None
    assert halves[0].query.grad.dtype == torch.bfloat16
    assert_close(loss, scores_distance(own, theirs, view.layout), dtype=torch.bfloat16)
