"""Chosen are as many as wanted, all choices alike, and as likely as in a random order gone through one by one."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from plm.data.draws import keys
from plm.data.units import filling, independent, running, subset, within

Ints = NDArray[np.int64]

SIZES = st.lists(st.integers(0, 12), min_size=1, max_size=8)


def borders_of(sizes: list[int]) -> Ints:
    return np.cumsum([0, *sizes])


@given(sizes=SIZES)
@settings(deadline=None, max_examples=50)
def test_every_item_knows_its_text_and_place(sizes: list[int]) -> None:
    text, place = within(borders_of(sizes))
    assert [(int(t), int(p)) for t, p in zip(text, place, strict=True)] == [
        (t, p) for t, size in enumerate(sizes) for p in range(size)
    ]


@given(sizes=SIZES, seed=st.integers(0, 2**64 - 1), data=st.data())
@settings(deadline=None, max_examples=100)
def test_subsets_have_the_wanted_sizes(sizes: list[int], seed: int, data: st.DataObject) -> None:
    wanted = np.array([data.draw(st.integers(0, size)) for size in sizes])
    chosen = subset(borders_of(sizes), wanted, keys(seed, np.arange(len(sizes))))
    assert [part.sum() for part in np.split(chosen, borders_of(sizes)[1:-1])] == wanted.tolist()


@pytest.mark.parametrize("wanted", [2, 4])  # less than half and more
def test_every_subset_is_as_likely_as_any_other(wanted: int) -> None:
    count, size, ways = 30_000, 6, 15
    chosen = subset(np.arange(count + 1) * size, np.full(count, wanted), keys(3, np.arange(count))).reshape(count, size)
    seen = Counter(chosen @ (1 << np.arange(size)))
    assert len(seen) == ways
    chi_square = sum((n - count / ways) ** 2 for n in seen.values()) / (count / ways)
    assert chi_square < 36.1  # 14 degrees of freedom, 0.1 %


def test_a_text_is_chosen_from_alike_in_whatever_company() -> None:
    sizes, wanted, key = np.array([9, 5, 12, 7]), np.array([2, 4, 3, 0]), keys(1, np.arange(4))
    borders = borders_of(sizes.tolist())
    whole = np.split(subset(borders, wanted, key), borders[1:-1])
    item_sizes = np.arange(borders[-1]) % 3 + 1
    filled = np.split(filling(borders, item_sizes, wanted, key, limit=wanted + 1), borders[1:-1])
    for text in range(4):
        alone = np.array([0, sizes[text]])
        assert (subset(alone, wanted[[text]], key[[text]]) == whole[text]).all()
        own = item_sizes[borders[text] : borders[text + 1]]
        assert (filling(alone, own, wanted[[text]], key[[text]], limit=wanted[[text]] + 1) == filled[text]).all()


def test_independent_items_are_chosen_with_their_probability() -> None:
    chosen = independent(np.array([0, 50_000, 100_000]), 0.3, keys(1, np.arange(2)))
    assert chosen.mean() == pytest.approx(0.3, abs=0.006)
    assert (chosen[:50_000] != chosen[50_000:]).any()


def one_by_one(sizes: tuple[int, ...], wanted: int, limit: int) -> int:
    """The items that are taken of those that come in this order, a bit for each of their places."""
    taken = bits = 0
    for place, size in enumerate(sizes):
        if taken < wanted and taken + size <= limit:
            taken, bits = taken + size, bits | 1 << place
    return bits


def permuted(sizes: list[int], wanted: int, limit: int) -> Counter[int]:
    """How often each set of items is taken, over all orders."""
    found: Counter[int] = Counter()
    for order in itertools.permutations(range(len(sizes))):
        bits = one_by_one(tuple(sizes[item] for item in order), wanted, limit)
        found[sum(1 << item for place, item in enumerate(order) if bits >> place & 1)] += 1
    return found


@pytest.mark.parametrize(
    ("sizes", "wanted", "limit"),
    [
        ([1, 1, 1, 1, 1], 2, 2),  # tokens
        ([1, 2, 1, 3, 2, 1], 4, 4),  # what would exceed is passed over
        ([2, 2, 2, 3, 5], 4, 4),  # often nothing fits any more
        ([2, 2, 2, 2, 7], 3, 3),
        ([1, 2, 1, 3, 2, 4], 5, 13),  # the last one may exceed
        ([1, 4, 1, 3, 2, 4], 4, 5),  # by so much
        ([1, 2], 3, 3),  # all
    ],
)
def test_items_are_taken_as_often_as_in_a_random_order(sizes: list[int], wanted: int, limit: int) -> None:
    count = 30_000
    borders, every = np.arange(count + 1) * len(sizes), np.ones(count, dtype=np.int64)
    key = keys(11, np.arange(count))
    chosen = filling(borders, np.tile(sizes, count), wanted * every, key, limit=limit * every)
    seen = Counter(chosen.reshape(count, -1) @ (1 << np.arange(len(sizes))))
    expected = permuted(sizes, wanted, limit)
    assert seen.keys() == expected.keys()
    shares = {bits: count * number / expected.total() for bits, number in expected.items()}
    chi_square = sum((seen[bits] - share) ** 2 / share for bits, share in shares.items())
    freedom = len(shares) - 1
    assert chi_square <= freedom + 3.1 * math.sqrt(2 * freedom) + 6  # 0.1 %, or less


@given(sizes=SIZES, seed=st.integers(0, 2**64 - 1), data=st.data())
@settings(deadline=None, max_examples=150)
def test_what_is_left_out_would_exceed_the_limit_or_is_not_wanted(
    sizes: list[int], seed: int, data: st.DataObject
) -> None:
    borders = borders_of(sizes)
    item_sizes = np.array(data.draw(st.lists(st.integers(1, 5), min_size=sum(sizes), max_size=sum(sizes))), dtype=int)
    wanted = np.array([data.draw(st.integers(0, 20)) for _ in sizes])
    limit = wanted + np.array([data.draw(st.integers(0, 4)) for _ in sizes])
    chosen = filling(borders, item_sizes, wanted, keys(seed, np.arange(len(sizes))), limit=limit)
    for text, (first, last) in enumerate(itertools.pairwise(borders)):
        own, is_taken = item_sizes[first:last], chosen[first:last]
        taken = own[is_taken].sum()
        assert taken <= limit[text]
        assert (taken >= wanted[text]) or (taken + own[~is_taken] > limit[text]).all()
        if is_taken.any():
            assert taken - own[is_taken].max() < wanted[text]


@given(sizes=SIZES)
@settings(deadline=None, max_examples=50)
def test_running_sums_begin_anew_with_every_text(sizes: list[int]) -> None:
    borders = borders_of(sizes)
    values = np.arange(borders[-1]) % 4 + 1
    expected = [n for first, last in itertools.pairwise(borders) for n in np.cumsum(values[first:last])]
    assert running(values, borders[:-1]).tolist() == expected
