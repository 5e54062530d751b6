"""NumPy archives: NumPy reads what is written, what NumPy writes is read, and no pickle is opened."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from plm.checkpoints.formats.binary import FileBytes
from plm.checkpoints.formats.npy import CODES, npy_header, read_npy
from plm.checkpoints.formats.numpy_npz import accepts, find, read, write
from plm.errors import CheckpointError
from tests.checkpoints.formats.mappings import is_mapped
from tests.checkpoints.formats.samples import without_bfloat16


def saved(array: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def loaded(content: bytes) -> torch.Tensor:
    file = FileBytes(Path("x.npy"), memoryview(bytearray(content)))
    return read_npy(file, "x", file.data)


def archive(folder: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(folder / "model.npz", "w") as made:
        for name, content in members.items():
            made.writestr(name, content)
    return folder / "model.npz"


def test_numpy_reads_what_is_written(tmp_path: Path) -> None:
    (file,) = write(tmp_path, without_bfloat16() | {"ü/ß": torch.ones(0, 2)})
    with np.load(file, allow_pickle=False) as read_back:
        assert list(read_back) == [*without_bfloat16(), "ü/ß"]
        for name, tensor in without_bfloat16().items():
            assert np.array_equal(read_back[name], tensor.numpy())
            assert read_back[name].dtype == tensor.numpy().dtype


def test_written_arrays_are_mapped(tmp_path: Path) -> None:
    (file,) = write(tmp_path, without_bfloat16())
    assert all(is_mapped(tensor, file) for tensor in read(file).values())


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_archives_of_numpy_are_read(save: Any, tmp_path: Path) -> None:
    arrays = {name: tensor.numpy() for name, tensor in without_bfloat16().items()}
    arrays |= {"fortran": np.asfortranarray(np.arange(24.0).reshape(2, 3, 4)), "big": np.arange(4, dtype=">i4")}
    save(tmp_path / "other.npz", **arrays)
    read_back = read(tmp_path / "other.npz")
    assert list(read_back) == list(arrays)
    assert all(np.array_equal(read_back[name].numpy(), array) for name, array in arrays.items())


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(list(CODES)), st.lists(st.integers(0, 4), max_size=5))
def test_headers_are_those_of_numpy(code: str, shape: list[int]) -> None:
    array = np.zeros(shape, dtype=code)
    content = saved(array)
    tensor = loaded(content)
    assert (tuple(tensor.shape), tensor.dtype) == (tuple(shape), CODES[code])
    assert npy_header(tensor) == content[: len(content) - array.nbytes]


@pytest.mark.parametrize(
    "array",
    [
        np.array([None, 1]),
        np.array(["text"]),
        np.zeros(2, dtype="c8"),
        np.zeros(2, dtype=[("a", "f4")]),
        np.zeros(2, dtype="f4,i4"),
        np.zeros(2, dtype="M8[s]"),
    ],
)
def test_arrays_of_anything_but_numbers_are_refused(array: Any) -> None:
    with pytest.raises(CheckpointError, match="x: "):
        loaded(saved(array, allow_pickle=True))


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"__import__('os').system('true')",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (9999999999999999999, ), }",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'more': 1}",
        b"{'descr': '<f4', 'fortran_order': 1, 'shape': (1,), }",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }",
        b"(" * 3000,
    ],
)
def test_odd_headers_are_refused(header: bytes) -> None:
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(4)
    with pytest.raises(CheckpointError):
        loaded(content)


def test_headers_of_python_2_are_read() -> None:
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1L, 2L), }\n"
    assert loaded(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(8)).shape == (1, 2)


@pytest.mark.parametrize(
    ("members", "reason"),
    [({"a.npy": saved(np.ones(2)), "notes.txt": b"x"}, "no array"), ({"a.npy": b"x"}, "a: not a NumPy array")],
)
def test_members_that_are_no_arrays_are_refused(members: dict[str, bytes], reason: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=reason):
        read(archive(tmp_path, members))


def test_an_archive_that_inflates_without_measure_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as made:
        content = saved(np.zeros(2**21))
        for number in range(5):
            made.writestr(f"{number}.npy", content)
    with pytest.raises(CheckpointError, match="memory"):
        read(tmp_path / "x.npz")


def test_only_the_usual_name_is_found_in_a_folder(tmp_path: Path) -> None:
    (file,) = write(tmp_path, without_bfloat16())
    data = file.rename(tmp_path / "golden.npz")
    assert find(tmp_path) == []
    assert accepts(data)
    assert not accepts(tmp_path / "none.npz")
