"""What all writers promise: what was written is read back, whole or not at all, and with ordinary permissions."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from plm.checkpoints.formats import FORMATS
from plm.errors import CheckpointError
from tests.checkpoints.formats.samples import gpt, tensors, without_bfloat16

WHAT = {
    "safetensors": tensors,
    "torch_bin": tensors,
    "tf_checkpoint": tensors,
    "openai_npy": gpt,
    "numpy_npz": without_bfloat16,
}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def write(name: str, folder: Path, what: dict[str, Tensor]) -> list[Path]:
    writer = FORMATS.get(name).write
    assert writer is not None
    return writer(folder, what)


def interrupted_once(replace: Callable[[Path, Path], Path], step: int) -> Callable[[Path, Path], Path]:
    """A rename that is interrupted at its call number `step`, and works before and after."""
    calls = iter(range(step + 1))

    def rename(path: Path, target: Path) -> Path:
        if next(calls, None) == step:
            raise KeyboardInterrupt
        return replace(path, target)

    return rename


def zeros(what: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: torch.zeros_like(tensor) for name, tensor in what.items()}


def test_every_writer_is_tested_here() -> None:
    assert [name for name, container in FORMATS.items() if container.write] == list(WHAT)


@pytest.mark.parametrize("name", WHAT)
def test_written_tensors_are_found_and_read_back_bit_for_bit(name: str, tmp_path: Path) -> None:
    container, what = FORMATS.get(name), WHAT[name]()
    write(name, tmp_path / "new/folder", what)
    read = container.read(container.find(tmp_path / "new/folder")[0])
    assert read.keys() == what.keys()
    for key, tensor in what.items():
        assert read[key].dtype == tensor.dtype
        assert torch.equal(read[key], tensor)


@pytest.mark.parametrize("name", WHAT)
def test_views_shared_and_transposed_tensors_are_written_as_they_look(name: str, tmp_path: Path) -> None:
    what = WHAT[name]()
    for key, tensor in what.items():
        if tensor.dim() == 2:
            what[key] = tensor.repeat(3, 2)[1 : 1 + tensor.shape[1], : tensor.shape[0]].t()
    first = next(key for key, tensor in what.items() if tensor.dim() == 2)
    assert not what[first].is_contiguous()
    write(name, tmp_path, what)
    container = FORMATS.get(name)
    read = container.read(container.find(tmp_path)[0])
    assert all(torch.equal(read[key], tensor) for key, tensor in what.items())
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 16000


@pytest.mark.parametrize("name", WHAT)
def test_parameters_that_require_gradients_can_be_written(name: str, tmp_path: Path) -> None:
    what = {
        key: torch.nn.Parameter(tensor) if tensor.is_floating_point() else tensor
        for key, tensor in WHAT[name]().items()
    }
    write(name, tmp_path, what)
    container = FORMATS.get(name)
    assert not any(tensor.requires_grad for tensor in container.read(container.find(tmp_path)[0]).values())


@pytest.mark.parametrize("name", WHAT)
def test_tensors_may_come_from_the_very_files_that_are_replaced(name: str, tmp_path: Path) -> None:
    container, what = FORMATS.get(name), WHAT[name]()
    write(name, tmp_path, what)
    before = contents(tmp_path)
    write(name, tmp_path, container.read(container.find(tmp_path)[0]))
    assert contents(tmp_path) == before


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("name", WHAT)
def test_a_full_disk_or_an_interrupt_leaves_the_old_files(
    name: str, failure: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    what = WHAT[name]()
    write(name, tmp_path, what)
    before = contents(tmp_path)

    def fail(_: int) -> None:
        raise failure

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises((CheckpointError, KeyboardInterrupt)) as caught:
        write(name, tmp_path, zeros(what))
    if isinstance(failure, OSError):
        assert "No space left" in str(caught.value)
        assert str(tmp_path) in str(caught.value)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", WHAT)
def test_an_interrupt_between_two_renames_leaves_the_old_files(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    what = WHAT[name]()
    files = len(write(name, tmp_path, what))
    before = contents(tmp_path)
    renames = 1 if files == 1 else 2 * files  # several old files are moved away first
    for step in range(renames):
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", interrupted_once(Path.replace, step))
            with pytest.raises(KeyboardInterrupt):
                write(name, tmp_path, zeros(what))
        assert contents(tmp_path) == before


@pytest.mark.parametrize("name", WHAT)
def test_files_get_the_permissions_of_the_umask(name: str, tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        written = write(name, tmp_path, WHAT[name]())
    finally:
        os.umask(old)
    assert {stat.S_IMODE(path.stat().st_mode) for path in written} == {0o640}


@pytest.mark.parametrize("name", WHAT)
def test_what_cannot_be_written_names_the_folder(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CheckpointError, match="file: cannot be written"):
        write(name, tmp_path / "file", WHAT[name]())


@pytest.mark.parametrize("name", [name for name in WHAT if name != "torch_bin"])
def test_a_dtype_that_the_format_lacks_is_named_and_nothing_is_written(name: str, tmp_path: Path) -> None:
    what = WHAT[name]()
    first = next(iter(what))
    what[first] = what[first].to(torch.complex64)
    with pytest.raises(CheckpointError, match="complex64"):
        write(name, tmp_path / "new", what)
    assert not list(tmp_path.rglob("*.*"))
