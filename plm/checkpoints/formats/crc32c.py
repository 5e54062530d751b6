"""CRC-32C at memory speed with NumPy alone: rows are folded by table, then the last row is folded in halves.

A CRC is the remainder of a polynomial, so it is linear: the checksum of a message is the sum (xor) of those of its
parts, each moved to its place by a multiplication with a power of x. A message is laid out as rows of 2**14 words.
Moving a whole row by one row is the same multiplication for every word, done with two table look-ups; moving halves
over each other does the rest. About 1.5 GB/s on one core, where the byte-by-byte loop makes 7 MB/s.
Sources: RFC 3720 appendix B.4 (polynomial), TensorFlow core/lib/hash/crc32c.h (mask).
"""

from __future__ import annotations

import functools
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Words: TypeAlias = NDArray[np.uint32]

_POLYNOMIAL = 0x82F63B78  # Castagnoli, bits reversed
_ROW = 14  # log2 of the words in a row: state, row and tables stay in the second-level cache


def crc32c(data: memoryview | bytes) -> int:
    """The CRC-32C of some bytes (of a contiguous buffer)."""
    raw = np.frombuffer(data, dtype=np.uint8)
    whole = len(raw) // 4 * 4
    words = raw[:whole].view("<u4").astype(np.uint32, copy=False)
    state = _words_crc(words) if whole else 0xFFFF_FFFF
    for byte in raw[whole:].tolist():
        state = int(_byte_table()[(state ^ byte) & 0xFF]) ^ state >> 8
    return state ^ 0xFFFF_FFFF


def masked_crc32c(data: memoryview | bytes) -> int:
    """The checksum as LevelDB and TensorFlow store it: rotated and shifted, so that a CRC of CRCs stays sound."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282_EAD8) & 0xFFFF_FFFF


def _words_crc(words: Words) -> int:
    """The state of the CRC after all words, started from all ones."""
    level = min(_ROW, max(0, (len(words) - 1).bit_length()))
    head = -len(words) % (1 << level)
    row = np.zeros(1 << level, np.uint32)  # leading zeros do not change a remainder
    row[head:] = words[: len(row) - head]
    row[head] ^= 0xFFFF_FFFF
    for start in range(len(row) - head, len(words), len(row)):
        row = _moved(row, level) ^ words[start : start + len(row)]
    while level:
        level -= 1
        row = _moved(row[: 1 << level], level) ^ row[1 << level :]
    return int(_moved(row, 0)[0])


def _moved(row: Words, level: int) -> Words:
    """Every word multiplied by x to the power of 32 * 2**level."""
    low, high = _tables(level)
    halves = row.view(np.uint16)
    return np.bitwise_xor(np.take(low, halves[0::2]), np.take(high, halves[1::2]))


@functools.cache
def _tables(level: int) -> tuple[Words, Words]:
    """The products of all lower and all upper halves of a word with x ** (32 * 2**level)."""
    basis = _basis(level)
    return _sums(basis[:16]), _sums(basis[16:])


@functools.cache
def _basis(level: int) -> tuple[int, ...]:
    """The products of the 32 single bits; each level is the one below applied twice."""
    if level == 0:
        return tuple(_after_zero_word(1 << bit) for bit in range(32))
    below = _basis(level - 1)
    return tuple(_combined(below, image) for image in below)


def _combined(basis: tuple[int, ...], word: int) -> int:
    return functools.reduce(lambda total, bit: total ^ basis[bit] * (word >> bit & 1), range(32), 0)


def _sums(basis: tuple[int, ...]) -> Words:
    table = np.zeros(1, np.uint32)
    for image in basis:
        table = np.concatenate([table, table ^ np.uint32(image)])
    return table


def _after_zero_word(state: int) -> int:
    for _ in range(4):
        state = int(_byte_table()[state & 0xFF]) ^ state >> 8
    return state


@functools.cache
def _byte_table() -> Words:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, table >> 1 ^ np.uint32(_POLYNOMIAL), table >> 1)
    return table
