"""Messages of tf.train.Example: all that protobuf allows is read, and written is what TensorFlow writes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plm.corpus.tf_example import decode_example, decode_integers, encode_example
from plm.errors import DataError


def varint(value: int) -> bytes:
    """By the definition, for checking."""
    value %= 2**64
    digits = [value >> 7 * place & 0x7F for place in range(max(1, -(-value.bit_length() // 7)))]
    return bytes([digit | 0x80 for digit in digits[:-1]] + digits[-1:])


def delimited(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def example(**features: bytes) -> bytes:
    """An Example of encoded Features."""
    entries = [delimited(1, delimited(1, name.encode()) + delimited(2, f)) for name, f in features.items()]
    return delimited(1, b"".join(entries))


int64 = st.integers(-(2**63), 2**63 - 1)


@settings(deadline=None, max_examples=80)
@given(st.lists(st.one_of(st.integers(0, 300), int64), max_size=40))
def test_integers_of_64_bits_come_back(values: list[int]) -> None:
    message = encode_example({"a": np.array(values, dtype=np.int64)})
    assert message == example(a=delimited(3, delimited(1, b"".join(map(varint, values))) if values else b""))
    decoded = decode_example(message)["a"]
    assert decoded.dtype == np.int64
    assert decoded.tolist() == values


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(width=32, allow_nan=False), max_size=20))
def test_floats_come_back(values: list[float]) -> None:
    decoded = decode_example(encode_example({"a": np.array(values, dtype=np.float32)}))["a"]
    assert decoded.dtype == np.float32
    assert decoded.tolist() == values


@settings(deadline=None, max_examples=40)
@given(st.lists(st.binary(max_size=200), max_size=9))
def test_bytes_come_back_with_the_zeros_at_their_end(values: list[bytes]) -> None:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    assert decode_example(encode_example({"a": array}))["a"].tolist() == values


def test_names_and_their_order_come_back() -> None:
    features = {name: np.arange(3) for name in ("z", "naïve", "", "a" * 200)}
    assert list(decode_example(encode_example(features))) == list(features)


def test_an_example_without_features_is_an_empty_message() -> None:
    assert encode_example({}) == b""
    assert decode_example(b"") == {}


@pytest.mark.parametrize(
    ("feature", "values"),
    [
        (delimited(3, varint(1 << 3) + varint(7) + varint(1 << 3) + varint(-1)), [7, -1]),
        (delimited(3, varint(1 << 3) + varint(7) + delimited(1, varint(300) + varint(5))), [7, 300, 5]),
        (delimited(3, delimited(1, b"\1")) + delimited(3, delimited(1, b"\2")), [1, 2]),
        (delimited(2, delimited(1, b"abcd")) + delimited(3, delimited(1, b"\2")), [2]),
        (delimited(3, delimited(1, b"\1") + delimited(9, b"new")), [1]),
        (varint(9 << 3 | 1) + bytes(8) + delimited(3, delimited(1, b"\1")), [1]),
        (varint(9 << 3 | 5) + bytes(4) + delimited(3, delimited(1, b"\1")), [1]),
        (b"", []),
    ],
    ids=["unpacked", "mixed", "two lists join", "another kind replaces", "unknown", "fixed64", "fixed32", "nothing"],
)
def test_all_ways_of_protobuf_to_write_integers_are_read(feature: bytes, values: list[int]) -> None:
    assert decode_example(example(a=feature))["a"].tolist() == values


def test_unpacked_floats_are_read() -> None:
    ones = np.array([1.0, -2.5], dtype="<f4").tobytes()
    single = varint(1 << 3 | 5) + ones[:4] + varint(1 << 3 | 5) + ones[4:]
    assert decode_example(example(a=delimited(2, single)))["a"].tolist() == [1.0, -2.5]


def test_of_two_features_with_one_name_the_later_counts() -> None:
    first, second = (example(a=delimited(3, delimited(1, bytes([value])))) for value in (1, 2))
    assert decode_example(first + second)["a"].tolist() == [2]


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"\x0a\x05abc", "byte 0 of the message: a field of 5 bytes where 3 are left"),
        (b"\x0a", "byte 1 of the message: a number without an end"),
        (b"\x0a\x80", "byte 1 of the message: a number without an end"),
        (b"\xff" * 11, "byte 0 of the message: a number without an end"),
        (b"\x0b", "byte 0 of the message: unknown wire type 3"),
        (b"\x02\x00", "byte 0 of the message: a field with number 0"),
        (b"\x0d\x00\x00", "a field of 4 bytes where 2 are left"),
        (b"{'text': 'no protobuf at all'}", "byte 0 of the message: unknown wire type 3"),
        (example(a=delimited(3, delimited(1, b"\x80"))), "feature 'a': the last integer is cut off"),
        (example(a=delimited(3, delimited(1, b"\xff" * 10 + b"\1"))), "feature 'a': an integer of 11 bytes"),
        (example(a=delimited(2, delimited(1, b"abc"))), "feature 'a': floats take 4 bytes each, got 3"),
        (example(a=delimited(2, b"\x08\x01")), "a list of floats with wire type 0"),
        (delimited(1, delimited(1, delimited(1, b"\xff"))), "the name of a feature is not UTF-8"),
    ],
)
def test_what_is_no_example_is_refused_with_the_place(message: bytes, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        decode_example(message)


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=60))
def test_no_bytes_do_worse_than_a_data_error(message: bytes) -> None:
    for hostile in (message, example(a=message), example(a=delimited(3, message))):
        try:
            decode_example(hostile)
        except DataError:
            continue


@settings(deadline=None, max_examples=40)
@given(st.lists(int64, min_size=1, max_size=8), st.data())
def test_integers_that_are_cut_off_are_noticed_or_fewer(values: list[int], data: st.DataObject) -> None:
    raw = b"".join(map(varint, values))
    cut = data.draw(st.integers(0, len(raw) - 1))
    if cut and raw[cut - 1] >= 0x80:
        with pytest.raises(DataError, match="cut off"):
            decode_integers(raw[:cut])
    else:
        assert decode_integers(raw[:cut]).tolist() == values[: len(decode_integers(raw[:cut]))]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.zeros((2, 2)), "one dimension"),
        (np.array(["text"]), "expected integers, floats or bytes objects, got <U4"),
        (np.array(["text"], dtype=object), "bytes objects"),
        (np.array([2**63], dtype=np.uint64), "64 bits with sign"),
    ],
)
def test_arrays_that_have_no_place_in_a_message_are_refused(values: Any, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        encode_example({"a": values})
