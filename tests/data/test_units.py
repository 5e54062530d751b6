"""Chosen are as many as wanted, all choices alike, and fast ways choose what plain ones do."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from plm.data.draws import keys
from plm.data.units import filling, independent, running, shuffled, subset, within

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
    order = np.split(shuffled(borders, key) - np.repeat(borders[:-1], sizes), borders[1:-1])
    for text in range(4):
        alone = np.array([0, sizes[text]])
        assert (subset(alone, wanted[[text]], key[[text]]) == whole[text]).all()
        assert (shuffled(alone, key[[text]]) == order[text]).all()


def test_independent_items_are_chosen_with_their_probability() -> None:
    chosen = independent(np.array([0, 50_000, 100_000]), 0.3, keys(1, np.arange(2)))
    assert chosen.mean() == pytest.approx(0.3, abs=0.006)
    assert (chosen[:50_000] != chosen[50_000:]).any()


def test_an_order_is_a_permutation_and_all_orders_are_as_likely() -> None:
    count = 24_000
    order = shuffled(np.arange(count + 1) * 4, keys(1, np.arange(count))).reshape(count, 4)
    order -= 4 * np.arange(count)[:, None]
    seen = Counter(map(tuple, order.tolist()))
    assert len(seen) == 24
    assert all(sorted(one) == [0, 1, 2, 3] for one in seen)
    assert sum((n - 1000) ** 2 for n in seen.values()) / 1000 < 49.7  # 23 degrees of freedom, 0.1 %


def test_many_texts_and_long_ones_are_ordered_as_few_and_short_ones_are() -> None:
    many = 2**16 + 3
    key = keys(5, np.arange(many))
    assert (shuffled(np.arange(many + 1) * 3, key)[:300] == shuffled(np.arange(101) * 3, key[:100])).all()
    long = np.array([0, 2**16 + 1, 2**16 + 9])
    assert (shuffled(long, key[:2])[-8:] - long[1] == shuffled(np.array([0, 8]), key[1:2])).all()


@given(sizes=SIZES, data=st.data())
@settings(deadline=None, max_examples=150)
def test_room_is_filled_as_one_by_one(sizes: list[int], data: st.DataObject) -> None:
    borders = borders_of(sizes)
    item_sizes = np.array(data.draw(st.lists(st.integers(1, 5), min_size=sum(sizes), max_size=sum(sizes))), dtype=int)
    room = np.array([data.draw(st.integers(0, 20)) for _ in sizes])
    expected = []
    for text, left in enumerate(room.tolist()):
        for size in item_sizes[borders[text] : borders[text + 1]].tolist():
            expected.append(size <= left)
            left -= size * expected[-1]
    assert filling(borders, item_sizes, room).tolist() == expected


@given(sizes=SIZES)
@settings(deadline=None, max_examples=50)
def test_running_sums_begin_anew_with_every_text(sizes: list[int]) -> None:
    borders = borders_of(sizes)
    values = np.arange(borders[-1]) % 4 + 1
    expected = [n for first, last in itertools.pairwise(borders) for n in np.cumsum(values[first:last])]
    assert running(values, borders[:-1]).tolist() == expected
