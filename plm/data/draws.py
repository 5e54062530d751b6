"""Random numbers that are functions of what they are for: no generator, no state, no order of asking.

SplitMix64 (Steele, Lea and Flood 2014) with a key in place of a seed: number `counter` of the sequence that `key`
starts. A key is made of whatever the numbers are to depend on.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.uint64]
Ints = NDArray[np.int64]

_STEP = np.uint64(0x9E3779B97F4A7C15)
_HALF = np.uint64(32)


def keys(*parts: int | Ints) -> Numbers:
    """A key for every combination of the parts, numbers from 0 to 2**64 - 1 or arrays of such: of their common shape.

    The order of the parts counts. Alone standing numbers give an array of shape (1,).
    """
    key = np.zeros(1, dtype=np.uint64)
    for part in parts:
        key = draws(key, part)
    return key


def draws(key: Numbers, counter: Ints | int) -> Numbers:
    """Uniform in [0, 2**64): number `counter`, from 0, of the sequence of each key; arrays that broadcast."""
    numbers = np.atleast_1d(np.asarray(counter).astype(np.uint64))  # arrays wrap around, single numbers warn
    numbers = (numbers + np.uint64(1)) * _STEP + key
    numbers ^= numbers >> np.uint64(30)
    numbers *= np.uint64(0xBF58476D1CE4E5B9)
    numbers ^= numbers >> np.uint64(27)
    numbers *= np.uint64(0x94D049BB133111EB)
    numbers ^= numbers >> np.uint64(31)
    return numbers


def below(numbers: Numbers, bound: Ints | int) -> Ints:
    """Integers in [0, bound), bound at most 2**32, of the upper 32 bits; no value is likelier by more than 2**-32."""
    scaled = (numbers >> _HALF) * np.asarray(bound).astype(np.uint64)
    scaled >>= _HALF
    return scaled.view(np.int64)


def happens(numbers: Numbers, probability: float) -> NDArray[np.bool_]:
    """True with this probability, by the upper 32 bits: always at 1, never at 0."""
    return (numbers >> _HALF) < np.uint64(round(probability * 2**32))


def swapped(numbers: Numbers) -> Numbers:
    """The lower 32 bits where the upper ones were: a second draw from the same numbers."""
    return numbers << _HALF
