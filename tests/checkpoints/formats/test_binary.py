"""Bytes are mapped, checked before use, and shared with tensors wherever that is sound."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from plm.checkpoints.formats.binary import FileBytes, raw_bytes
from plm.errors import CheckpointError


def mapped(tmp_path: Path, content: bytes) -> FileBytes:
    (tmp_path / "file").write_bytes(content)
    return FileBytes.open(tmp_path / "file")


def test_aligned_tensors_share_the_mapping_and_others_are_copied(tmp_path: Path) -> None:
    file = mapped(tmp_path, bytes(range(32)))
    start = torch.frombuffer(file.data, dtype=torch.uint8).data_ptr()
    shared = file.tensor("x", file.slice(4, 8), torch.float32, (2,))
    copied = file.tensor("x", file.slice(5, 8), torch.float32, (2,))
    assert shared.data_ptr() == start + 4
    assert not start <= copied.data_ptr() < start + 32
    assert raw_bytes(copied) == bytes(range(5, 13))


def test_tensors_outlive_the_file_object_and_keep_the_file_as_it_was(tmp_path: Path) -> None:
    tensor = (lambda file: file.tensor("x", file.slice(0, 8), torch.int32, (2,)))(mapped(tmp_path, bytes(8)))
    tensor += 1
    assert tensor.tolist() == [1, 1]
    assert (tmp_path / "file").read_bytes() == bytes(8)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int16, torch.uint32])
def test_big_endian_numbers_are_turned_round(dtype: torch.dtype, tmp_path: Path) -> None:
    values = torch.tensor([1, 258, 77]).to(dtype)
    width = dtype.itemsize
    turned = values.view(torch.uint8).view(-1, width).flip(1).contiguous()
    file = mapped(tmp_path, bytes(raw_bytes(turned)))
    assert torch.equal(file.tensor("x", file.data, dtype, (3,), big_endian=True), values)


def test_odd_bytes_of_bools_become_true(tmp_path: Path) -> None:
    file = mapped(tmp_path, b"\x00\x01\x02\xff")
    tensor = file.tensor("x", file.data, torch.bool, (4,))
    assert tensor.tolist() == [False, True, True, True]
    assert bytes(raw_bytes(tensor)) == b"\x00\x01\x01\x01"


@pytest.mark.parametrize("shape", [(3,), (1,), (), (2, 2), (-2,), (-1, -2), (2**62, 4), (1,) * 40])
def test_shapes_that_do_not_take_up_the_bytes_are_refused(shape: tuple[int, ...], tmp_path: Path) -> None:
    file = mapped(tmp_path, bytes(8))
    with pytest.raises(CheckpointError, match="tensor 'x'"):
        file.tensor("x", file.data, torch.float32, shape)


def test_empty_tensors_keep_their_shape(tmp_path: Path) -> None:
    file = mapped(tmp_path, b"x")
    assert file.tensor("x", file.slice(1, 0), torch.float32, (0, 3)).shape == (0, 3)
    with pytest.raises(CheckpointError, match="impossible shape"):
        file.tensor("x", file.slice(1, 0), torch.float32, (0, 2**61, 2**61))


@pytest.mark.parametrize(("start", "length"), [(0, 9), (8, 1), (-1, 2), (3, -1), (2**70, 1)])
def test_slices_outside_the_file_are_refused(start: int, length: int, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="file"):
        mapped(tmp_path, bytes(8)).slice(start, length)


def test_copies_out_of_proportion_to_the_file_are_refused(tmp_path: Path) -> None:
    file = mapped(tmp_path, bytes(2**20 + 1))
    kept = [file.tensor("x", file.slice(1, 2**20), torch.float32, (2**18,)) for _ in range(60)]
    with pytest.raises(CheckpointError, match="memory"):
        kept += [file.tensor("x", file.slice(1, 2**20), torch.float32, (2**18,)) for _ in range(60)]


def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").touch()
    for name, reason in (("pipe", "device"), ("empty", "empty"), ("none", "No such file"), (".", "folder")):
        with pytest.raises(CheckpointError, match=reason):
            FileBytes.open(tmp_path / name)


def test_a_cursor_reads_numbers_and_never_past_its_end(tmp_path: Path) -> None:
    cursor = mapped(tmp_path, b"\x01\x02\x03\xac\x02ab\xff").cursor(1, 6)
    assert cursor.uint(2) == 0x0302
    assert cursor.varint() == 300
    assert cursor.text(2) == "ab"
    assert cursor.remaining == 0
    with pytest.raises(CheckpointError, match="1 bytes are announced where 0 are left"):
        cursor.take(1)


@pytest.mark.parametrize("content", [b"\x80", b"\xff" * 11])
def test_integers_without_end_are_refused(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError):
        mapped(tmp_path, content).cursor().varint()


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="UTF-8"):
        mapped(tmp_path, b"\xff\xfe").cursor().text(2)
