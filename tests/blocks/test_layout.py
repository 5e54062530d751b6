"""Both layouts agree about who may attend to whom, where tokens stand, and how to get back to the caller's order."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from plm.blocks.layout import PATTERNS, Packed, Padded, Pattern, Run, causal_allowed, prefix_allowed
from plm.errors import ConfigError, ShapeError
from tests.tiny_models import mask_of

LENGTH = 6


@st.composite
def spans(draw: Any) -> list[tuple[int, int]]:
    """(start, stop) of the live tokens of one to five rows; none is empty."""
    row = st.integers(0, LENGTH - 1).flatmap(lambda start: st.tuples(st.just(start), st.integers(start + 1, LENGTH)))
    return draw(st.lists(row, min_size=1, max_size=5))  # type: ignore[no-any-return]


def masks() -> st.SearchStrategy[list[list[int]]]:
    """Any rows of 0 and 1, with holes, or empty."""
    row = st.lists(st.integers(0, 1), min_size=LENGTH, max_size=LENGTH)
    return st.lists(row, min_size=1, max_size=4)


def visible(layout: Padded) -> Tensor:
    """(batch, query, key), bool: what a kernel makes of `allowed` and `is_causal`."""
    batch, queries = len(layout.first), layout.positions.shape[1]
    keys = layout.past + queries
    result = torch.ones(batch, 1, queries, keys, dtype=torch.bool)
    if layout.allowed is not None:
        result = result & layout.allowed
    if layout.is_causal:
        result = result & causal_allowed(queries, keys, past=layout.past)
    return result[:, 0]


# ---- who may attend to whom


@given(rows=masks(), pattern=st.sampled_from(PATTERNS), prefix=st.integers(0, LENGTH))
@settings(deadline=None, max_examples=60)
def test_a_query_sees_live_keys_that_the_pattern_shows(rows: list[list[int]], pattern: Pattern, prefix: int) -> None:
    prefixes = torch.full((len(rows),), prefix) if pattern == "prefix" else None
    layout = Padded.build(
        batch=len(rows),
        length=LENGTH,
        attention_mask=torch.tensor(rows),
        pattern=pattern,
        prefix_lengths=prefixes,
    )
    seen = visible(layout)
    for number, row in enumerate(rows):
        first = row.index(1) if 1 in row else 0
        for query in range(LENGTH):
            for key in range(LENGTH):
                shown = pattern == "full" or key <= query or (pattern == "prefix" and key < first + prefix)
                assert bool(seen[number, query, key]) == (row[key] == 1 and shown)


@given(rows=masks(), pattern=st.sampled_from(PATTERNS), past=st.integers(1, LENGTH - 1))
@settings(deadline=None, max_examples=60)
def test_tokens_behind_cached_ones_are_laid_out_as_in_the_whole_text(
    rows: list[list[int]], pattern: Pattern, past: int
) -> None:
    common: dict[str, Any] = {
        "batch": len(rows),
        "attention_mask": torch.tensor(rows),
        "pattern": pattern,
        "prefix_lengths": torch.full((len(rows),), 2) if pattern == "prefix" else None,
    }
    whole = Padded.build(length=LENGTH, **common)
    rest = Padded.build(length=LENGTH - past, past=past, **common)
    assert torch.equal(visible(rest), visible(whole)[:, past:])
    assert torch.equal(rest.positions, whole.positions[:, past:])
    assert torch.equal(rest.first, (whole.first - past).clamp(min=0))
    assert torch.equal(rest.last, (whole.last - past).clamp(min=0))
    assert rest.live is not None
    assert whole.live is not None
    assert torch.equal(rest.live, whole.live[:, past:])
    assert (rest.longest, whole.longest) == (LENGTH, LENGTH)


@pytest.mark.parametrize("heads", [None, 1, 3])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_mask_of_pairs_is_taken_as_it_is_and_joined_with_the_pattern(heads: int | None, pattern: Pattern) -> None:
    shape = (2, LENGTH, LENGTH) if heads is None else (2, heads, LENGTH, LENGTH)
    pairs = torch.rand(shape, generator=torch.Generator().manual_seed(0)) < 0.5
    layout = Padded.build(
        batch=2,
        length=LENGTH,
        attention_mask=pairs.long(),
        pattern=pattern,
        prefix_lengths=torch.tensor([1, 4]) if pattern == "prefix" else None,
    )
    shown = {
        "full": torch.ones(2, 1, LENGTH, LENGTH, dtype=torch.bool),
        "causal": causal_allowed(LENGTH, LENGTH).expand(2, 1, -1, -1),
        "prefix": torch.stack([prefix_allowed(LENGTH, prefix)[None] for prefix in (1, 4)]),
    }
    expected = (pairs[:, None] if heads is None else pairs) & shown[pattern]
    assert layout.allowed is not None
    assert not layout.is_causal
    assert torch.equal(layout.allowed.expand_as(expected), expected)
    assert layout.live is None
    assert layout.positions.tolist() == [list(range(LENGTH))]


def test_without_a_mask_nothing_is_hidden_and_the_last_token_is_the_last() -> None:
    layout = Padded.build(batch=2, length=3)
    assert (layout.allowed, layout.live, layout.is_causal) == (None, None, False)
    assert (layout.first.tolist(), layout.last.tolist()) == ([0, 0], [2, 2])
    assert layout.with_last(torch.tensor([1, 0])).last.tolist() == [1, 0]


def test_a_single_new_token_needs_no_triangle() -> None:
    assert not Padded.build(batch=1, length=1, pattern="causal", past=4).is_causal
    assert Padded.build(batch=1, length=2, pattern="causal", past=4).is_causal


def test_a_row_that_ended_in_the_cache_still_has_a_last_token() -> None:
    layout = Padded.build(batch=2, length=1, past=3, attention_mask=torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1]]))
    hidden = torch.randn(2, 1, 5)
    assert torch.equal(layout.last_tokens(hidden), hidden[:, 0])


# ---- packed and padded


@given(rows=spans())
@settings(deadline=None, max_examples=60)
def test_packing_keeps_every_live_value_and_restoring_brings_it_back(rows: list[tuple[int, int]]) -> None:
    mask = mask_of(LENGTH, *rows)
    packed = Packed.from_mask(mask)
    assert packed is not None
    values = torch.randn(*mask.shape, 2)
    assert len(packed.rows(values)) == int(mask.sum())
    assert torch.equal(packed.restore(packed.rows(values)), values * mask[..., None])
    assert packed.live is not None
    assert torch.equal(packed.live, mask == 1)


@given(rows=spans())
@settings(deadline=None, max_examples=60)
def test_both_layouts_agree_on_positions_and_on_first_and_last_tokens(rows: list[tuple[int, int]]) -> None:
    mask = mask_of(LENGTH, *rows)
    packed, padded = Packed.from_mask(mask), Padded.build(batch=len(rows), length=LENGTH, attention_mask=mask)
    assert packed is not None
    hidden = torch.randn(*mask.shape, 2)
    assert torch.equal(packed.positions, packed.rows(padded.positions))
    assert torch.equal(packed.first_tokens(packed.rows(hidden)), padded.first_tokens(hidden))
    assert torch.equal(packed.last_tokens(packed.rows(hidden)), padded.last_tokens(hidden))
    assert packed.longest == max(stop - start for start, stop in rows)


@given(lengths=st.lists(st.integers(1, 4), min_size=1, max_size=8), pattern=st.sampled_from(["full", "causal"]))
@settings(deadline=None, max_examples=60)
def test_runs_cover_all_tokens_once_and_join_equal_neighbours(lengths: list[int], pattern: Pattern) -> None:
    runs = Packed.from_lengths(lengths, pattern=pattern).runs
    assert [run.length for run in runs for _ in range(run.sequences)] == lengths
    for left, right in pairwise(runs):
        assert left.start + left.sequences * left.length == right.start
        assert left.length != right.length


def test_prefixes_differ_by_row_so_their_runs_stay_apart() -> None:
    layout = Packed.from_lengths([2, 2], pattern="prefix", prefix_lengths=[1, 2])
    assert layout.runs == (Run(0, 1, 2), Run(2, 1, 2))


def test_equal_lengths_become_neighbours_when_a_padded_batch_is_packed() -> None:
    packed = Packed.from_mask(mask_of(LENGTH, (0, 5), (0, 2), (1, 6), (3, 5)))
    assert packed is not None
    assert packed.runs == (Run(0, 2, 2), Run(4, 2, 5))


def test_prefix_lengths_follow_their_rows_into_packed_order() -> None:
    packed = Packed.from_mask(
        mask_of(LENGTH, (0, 5), (0, 2), (1, 4)), pattern="prefix", prefix_lengths=torch.tensor([4, 1, 2])
    )
    assert packed is not None
    assert packed.lengths == (2, 3, 5)
    assert packed.prefix_lengths == (1, 2, 4)


@pytest.mark.parametrize("row", [[0, 0, 0], [1, 0, 1]])
def test_rows_that_are_empty_or_have_a_hole_are_not_packed(row: list[int]) -> None:
    assert Packed.from_mask(torch.tensor([[1, 1, 1], row])) is None


def test_sequences_packed_by_the_caller_are_taken_and_given_back_as_they_are() -> None:
    layout = Packed.from_lengths([3, 1])
    hidden = torch.randn(4, 2)
    assert layout.positions.tolist() == [0, 1, 2, 0]
    assert layout.rows(hidden) is hidden
    assert layout.restore(hidden) is hidden
    assert layout.live is None
    assert torch.equal(layout.first_tokens(hidden), hidden[[0, 3]])
    assert torch.equal(layout.last_tokens(hidden), hidden[[2, 3]])


def test_restoring_passes_gradients_on() -> None:
    packed = Packed.from_mask(mask_of(4, (1, 3), (0, 4)))
    assert packed is not None
    rows = torch.randn(6, 2, requires_grad=True)
    packed.restore(rows).sum().backward()
    assert rows.grad is not None
    assert torch.equal(rows.grad, torch.ones(6, 2))


# ---- what does not fit


@pytest.mark.parametrize("shape", [(2, 5), (3, 6), (2, 6, 5), (2, 1, 5, 6), (6,), (3, 1, 6, 6)])
def test_a_mask_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"attention_mask .* does not fit 2 rows of 6 tokens and 6 keys"):
        Padded.build(batch=2, length=6, attention_mask=torch.ones(shape))


def test_additive_masks_are_refused_by_both_layouts() -> None:
    additive = torch.tensor([[0.0, 0.0, -10000.0]])
    with pytest.raises(ShapeError, match="additive masks are not taken"):
        Padded.build(batch=1, length=3, attention_mask=additive)
    with pytest.raises(ShapeError, match="additive masks are not taken"):
        Packed.from_mask(additive)


@pytest.mark.parametrize("dtype", [torch.bool, torch.int32, torch.float32, torch.float16])
def test_masks_of_ones_and_zeros_are_taken_in_any_dtype(dtype: torch.dtype) -> None:
    mask = torch.tensor([[0, 1, 1], [1, 1, 0]]).to(dtype)
    packed, padded = Packed.from_mask(mask), Padded.build(batch=2, length=3, attention_mask=mask)
    assert packed is not None
    assert packed.lengths == (2, 2)
    assert padded.live is not None
    assert padded.live.tolist() == [[False, True, True], [True, True, False]]


def test_an_unknown_pattern_is_refused_by_every_constructor() -> None:
    wrong: Any = "casual"
    for build in (
        lambda: Padded.build(batch=1, length=2, pattern=wrong),
        lambda: Packed.from_lengths([2], pattern=wrong),
        lambda: Packed.from_mask(torch.ones(1, 2), pattern=wrong),
    ):
        with pytest.raises(ConfigError, match=r"'casual' is not one of .*; did you mean 'causal'\?"):
            build()


def test_a_prefix_pattern_needs_the_prefixes() -> None:
    with pytest.raises(ShapeError, match='pattern "prefix" needs prefix_lengths'):
        Padded.build(batch=1, length=2, pattern="prefix")


@pytest.mark.parametrize(
    ("lengths", "pattern", "prefixes", "message"),
    [
        ([], "full", [], "at least one token each"),
        ([2, 0], "full", [], "at least one token each"),
        ([2, 3], "prefix", [1], "one a sequence"),
        ([2, 3], "full", [1, 1], "one a sequence"),
        ([2, 3], "prefix", [1, 4], "exceed the lengths"),
        ([2, 3], "prefix", [-1, 2], "exceed the lengths"),
    ],
)
def test_packed_sequences_that_make_no_sense_are_refused(
    lengths: list[int], pattern: Pattern, prefixes: list[int], message: str
) -> None:
    with pytest.raises(ShapeError, match=message):
        Packed.from_lengths(lengths, pattern=pattern, prefix_lengths=prefixes)
