"""Flax checkpoints: nested names, arrays in pieces, bfloat16, and a decoder that nothing can lead astray."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from plm.checkpoints.formats.binary import FileBytes
from plm.checkpoints.formats.flax_msgpack import accepts, read
from plm.checkpoints.formats.msgpack import decode
from plm.errors import CheckpointError
from tests.checkpoints.formats.samples import FILES


def pack(value: Any) -> bytes:
    """MessagePack of plain values, in the longest forms that the format has."""
    if value is None or isinstance(value, bool):
        return {None: b"\xc0", False: b"\xc2", True: b"\xc3"}[value]
    if isinstance(value, int):
        return b"\xd3" + struct.pack(">q", value)
    if isinstance(value, float):
        return b"\xcb" + struct.pack(">d", value)
    if isinstance(value, str):
        return b"\xdb" + struct.pack(">I", len(value.encode())) + value.encode()
    if isinstance(value, bytes):
        return b"\xc6" + struct.pack(">I", len(value)) + value
    if isinstance(value, list):
        return b"\xdd" + struct.pack(">I", len(value)) + b"".join(map(pack, value))
    pairs = b"".join(pack(key) + pack(item) for key, item in value.items())
    return b"\xdf" + struct.pack(">I", len(value)) + pairs


def array(shape: list[int], dtype: Any, data: bytes, *, kind: int = 1) -> bytes:
    content = pack([shape, dtype, data])
    return b"\xc9" + struct.pack(">Ib", len(content), kind) + content


def unpacked(content: bytes) -> Any:
    return decode(FileBytes(Path("file"), memoryview(bytearray(content))).cursor())


def read_bytes(tmp_path: Path, content: bytes) -> dict[str, torch.Tensor]:
    (tmp_path / "flax_model.msgpack").write_bytes(content)
    return read(tmp_path / "flax_model.msgpack")


def test_names_and_shapes_are_those_that_flax_lists(checkpoint: Callable[[str], Path]) -> None:
    folder = checkpoint("flax_bert_sequence_classification")
    listed = json.loads((folder / "msgpack_names.json").read_text())
    read_back = read(folder / "flax_model.msgpack")
    found = [[name, list(tensor.shape), str(tensor.dtype)[6:]] for name, tensor in read_back.items()]
    assert sorted(found) == sorted(listed)


def test_arrays_in_pieces_and_bfloat16_equal_flax() -> None:
    read_back = read(FILES / "chunked.msgpack")
    with np.load(FILES / "chunked.npz") as expected:
        assert np.array_equal(read_back["a/kernel"].numpy(), expected["kernel"])
        assert read_back["bfbig"].dtype is torch.bfloat16
        assert np.array_equal(read_back["bfbig"].float().numpy(), expected["bfbig"])
    assert (read_back["step"].item(), read_back["lr"].item(), read_back["np"].item()) == (5, 0.5, 2.5)
    assert read_back["b"].tolist() == [True, False]
    assert read_back["l/0"].shape == (0, 3)
    assert "none" not in read_back


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=80)
@given(_VALUES)
def test_every_plain_value_is_decoded(value: Any) -> None:
    assert unpacked(pack(value)) == value


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b"\x07", 7),
        (b"\xff", -1),
        (b"\xcc\xff", 255),
        (b"\xcd\x01\x00", 256),
        (b"\xd0\x80", -128),
        (b"\xca\x3f\xc0\x00\x00", 1.5),
        (b"\xa2ab", "ab"),
        (b"\xd9\x02ab", "ab"),
        (b"\xc4\x02ab", b"ab"),
        (b"\x92\x01\x02", [1, 2]),
        (b"\xdc\x00\x01\x01", [1]),
        (b"\x81\xa1a\x01", {"a": 1}),
        (b"\xde\x00\x01\xa1a\x01", {"a": 1}),
    ],
)
def test_short_forms_are_decoded(content: bytes, value: Any) -> None:
    assert unpacked(content) == value


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xc1",
        b"\x91" * 100 + b"\xc0",  # nested too deeply
        b"\xdd\xff\xff\xff\xff" + b"\xc0" * 10,  # four billion elements
        b"\xdf\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xffab",
        b"\xa5ab",
        b"\xa1\xff",  # not UTF-8
        b"\x82\xa1a\x01\xa1a\x02",  # a name twice
        b"\x81\x90\x01",  # a list as a name
        b"\xc0\xc0",  # something behind the value
    ],
)
def test_damaged_values_are_refused(content: bytes) -> None:
    with pytest.raises(CheckpointError):
        unpacked(content)


def test_the_number_of_values_is_limited() -> None:
    with pytest.raises(CheckpointError, match="too many values"):
        unpacked(b"\xdd\x00\x20\x00\x00" + b"\x90" * 2**18)


@pytest.mark.parametrize(
    ("leaf", "reason"),
    [
        (array([2], "float32", bytes(7)), "takes 8 bytes"),
        (array([2], "object", bytes(8)), "unknown type 'object'"),
        (array([2], 5, bytes(8)), "unknown type 5"),
        (array([-2], "int8", bytes(2)), "impossible shape"),
        (array([2**40, 2**40], "int8", bytes(2)), "impossible shape"),
        (array([2], "complex64", bytes(16), kind=2), "extension type 2"),
        (b"\xd4\x01\xc0", "not .shape, dtype, bytes."),
        (pack(b"raw"), "neither an array nor a number"),
        (pack({"__msgpack_chunked_array__": True, "shape": {"0": 2}, "chunks": {}}), "pieces of 'x'"),
    ],
)
def test_leaves_that_are_no_arrays_are_refused(leaf: bytes, reason: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=reason):
        read_bytes(tmp_path, b"\x81\xa1x" + leaf)


def test_names_that_collide_after_joining_are_refused(tmp_path: Path) -> None:
    leaf = array([1], "int8", b"1")
    with pytest.raises(CheckpointError, match="'a/b' comes twice"):
        read_bytes(tmp_path, b"\x82\xa3a/b" + leaf + b"\xa1a\x81\xa1b" + leaf)


def test_other_first_bytes_are_not_accepted(tmp_path: Path) -> None:
    for content in (b"", b"\x80", b"\x80\x02}", b"\x89HDF\r\n", b"PK\x03\x04", b"\x81\x01", b"\xde\x00"):
        (tmp_path / "x").write_bytes(content)
        assert not accepts(tmp_path / "x")
