"""plm/blocks/rectangles.py."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from plm.blocks.rectangles import Rectangle, rectangles

some_lengths = st.lists(st.integers(1, 80), min_size=1, max_size=40)


@settings(deadline=None, max_examples=50)
@given(some_lengths)
def test_every_sequence_is_in_one_rectangle_and_in_order(lengths: list[int]) -> None:
    found = rectangles(lengths)
    assert [length for rectangle in found for length in rectangle.lengths] == lengths
    assert [rectangle.rows.start for rectangle in found[1:]] == [rectangle.rows.stop for rectangle in found[:-1]]
    assert found[0].rows.start == 0
    assert found[-1].rows.stop == sum(lengths)


@settings(deadline=None, max_examples=50)
@given(some_lengths)
def test_what_was_loaded_is_stored_where_it_was(lengths: list[int]) -> None:
    packed = torch.randn(sum(lengths), 3, 4)
    copy = torch.empty_like(packed)
    for rectangle in rectangles(lengths):
        loaded = rectangle.load(packed)
        assert loaded.shape == (3 * len(rectangle.lengths), rectangle.length, 4)
        rectangle.store(loaded, copy)
    assert torch.equal(copy, packed)


def test_padding_is_filled_and_marked() -> None:
    rectangle = Rectangle.of(0, (1, 3))
    loaded = rectangle.load(torch.ones(4, 1, 1), padding=0.0)
    assert loaded[:, :, 0].tolist() == [[1, 0, 0], [1, 1, 1]]
    assert rectangle.padding(torch.float32).isinf().tolist() == [[[False, True, True]], [[False, False, False]]]


def test_equal_lengths_need_no_padding() -> None:
    (rectangle,) = rectangles([7, 7, 7])
    assert rectangle.places is None


def test_similar_lengths_share_a_rectangle_and_different_ones_do_not() -> None:
    assert len(rectangles([5, 6, 7, 8])) == 1
    assert [rectangle.length for rectangle in rectangles([5, 6, 7, 300])] == [7, 300]


def test_many_long_sequences_are_worked_on_a_few_at_a_time() -> None:
    found = rectangles([400] * 4)
    assert [len(rectangle.lengths) for rectangle in found] == [1, 1, 1, 1]
