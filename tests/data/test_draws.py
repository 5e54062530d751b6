"""Random numbers follow from their key and counter alone, and look like random numbers."""

from __future__ import annotations

import numpy as np
import pytest

from plm.data.draws import below, draws, happens, keys, swapped

MANY = draws(keys(42, 0), np.arange(200_000))


def test_numbers_are_those_of_splitmix64() -> None:
    # The reference code's first numbers for the seed 1234567, as in the tests of many languages.
    expected = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    assert draws(np.array([1234567], dtype=np.uint64), np.arange(5)).tolist() == expected


def test_bits_are_even_and_neighbours_unlike() -> None:
    bits = (MANY[:, None] >> np.arange(64, dtype=np.uint64)) & np.uint64(1)
    assert np.abs(bits.mean(0) - 0.5).max() < 0.006
    shares = MANY / 2.0**64
    assert abs(np.corrcoef(shares[1:], shares[:-1])[0, 1]) < 0.01
    assert len(np.unique(MANY)) == len(MANY)


def test_every_part_of_a_key_and_their_order_count() -> None:
    made = [keys(1, 2, 3), keys(2, 1, 3), keys(1, 2, 4), keys(1, 2), keys(0, 1, 2), keys(2**64 - 1, 2, 3)]
    assert len({int(key[0]) for key in made}) == len(made)
    assert (keys(1, np.array([5, 6]), 7)[1] == keys(1, 6, 7)).all()


def test_keys_of_a_row_of_numbers_give_unlike_sequences() -> None:
    numbers = draws(keys(42, np.arange(2000))[:, None], np.arange(10))
    assert len(np.unique(numbers)) == numbers.size
    shares = numbers / 2.0**64
    assert np.abs(np.corrcoef(shares.T) - np.eye(10)).max() < 0.1


@pytest.mark.parametrize("bound", [1, 3, 1000, 2**32])
def test_integers_below_a_bound_are_all_as_likely(bound: int) -> None:
    drawn = below(MANY, bound)
    assert (drawn.min(), drawn.max()) >= (0, 0)
    assert drawn.max() < bound
    counts = np.bincount(drawn * min(bound, 10) // bound)
    assert np.abs(counts / counts.mean() - 1.0).max() < 0.05


def test_something_happens_as_often_as_it_should() -> None:
    assert not happens(MANY, 0.0).any()
    assert happens(MANY, 1.0).all()
    assert happens(MANY, 0.15).mean() == pytest.approx(0.15, abs=0.004)


def test_the_other_half_of_a_number_is_a_draw_of_its_own() -> None:
    first, second = below(MANY, 100), below(swapped(MANY), 100)
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.01
