"""A saved folder is whole, or the old one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from plm.folders import clear_leftovers, save_folder


def test_a_folder_replaces_the_old_one_whole(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "best"
    save_folder(folder, lambda path: (path / "old").touch())
    save_folder(folder, lambda path: (path / "new").touch())
    assert [entry.name for entry in folder.iterdir()] == ["new"]
    assert [entry.name for entry in folder.parent.iterdir()] == ["best"]


def test_a_failed_save_leaves_the_old_folder(tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        (path / "half").touch()
        raise OSError("disk full")

    folder = tmp_path / "best"
    save_folder(folder, lambda path: (path / "old").touch())
    with pytest.raises(OSError, match="disk full"):
        save_folder(folder, fail)
    assert [entry.name for entry in folder.iterdir()] == ["old"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["best"]


def test_folders_get_the_permissions_of_the_umask(tmp_path: Path) -> None:
    previous = os.umask(0o027)
    try:
        save_folder(tmp_path / "best", lambda path: None)
    finally:
        os.umask(previous)
    assert (tmp_path / "best").stat().st_mode & 0o777 == 0o750


def test_leftovers_of_a_killed_save_are_cleared_and_the_old_folder_comes_back(tmp_path: Path) -> None:
    for name in (".best.old-1", ".best.new-2", ".last.new-3"):
        (tmp_path / name).mkdir()
    (tmp_path / ".best.old-1" / "weights").touch()
    clear_leftovers(tmp_path / "best")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".last.new-3", "best"]
    assert (tmp_path / "best" / "weights").exists()
    (tmp_path / ".best.old-4").mkdir()
    save_folder(tmp_path / "best", lambda path: None)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".last.new-3", "best"]
