"""The fast checksum equals the definition."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plm.crc32c import crc32c, masked_crc32c, masked_crc32c_each


def by_definition(data: bytes) -> int:
    state = 0xFFFF_FFFF
    for byte in data:
        state ^= byte
        for _ in range(8):
            state = state >> 1 ^ 0x82F63B78 * (state & 1)
    return state ^ 0xFFFF_FFFF


@pytest.mark.parametrize(
    ("data", "crc"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_the_vectors_of_rfc_3720_hold(data: bytes, crc: int) -> None:
    assert crc32c(data) == crc


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=600))
def test_it_equals_the_definition_for_every_length(data: bytes) -> None:
    assert crc32c(data) == by_definition(data)


@pytest.mark.parametrize("length", [65535, 65536, 65537, 65540, 131072, 200003])
def test_it_equals_the_definition_where_rows_begin_and_end(length: int) -> None:
    data = (bytes(range(251)) * (length // 251 + 1))[:length]
    assert crc32c(memoryview(data)) == by_definition(data)


def test_the_mask_rotates_and_adds() -> None:
    crc = crc32c(b"foo")
    assert masked_crc32c(b"foo") == ((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32
    assert masked_crc32c(b"foo") != crc


@settings(deadline=None, max_examples=40)
@given(st.lists(st.binary(max_size=300), max_size=12))
def test_many_together_have_the_checksums_that_each_has_alone(pieces: list[bytes]) -> None:
    assert masked_crc32c_each(pieces) == [masked_crc32c(piece) for piece in pieces]


def test_long_and_short_ones_may_stand_together() -> None:
    pieces = [bytes([number % 251]) * size for number, size in enumerate([0, 65536, 3, 65540, 4, 100, 200003])]
    assert masked_crc32c_each(pieces) == [masked_crc32c(piece) for piece in pieces]
