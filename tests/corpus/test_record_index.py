"""An index is what was found when the file was read through, or it is made anew."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np
import pytest

from plm.corpus.record_index import RecordIndex, default_index_folder, kept_index
from plm.errors import DataError

INDEX = RecordIndex(np.array([0, 40, 100]), np.array([7, 9]))


class Builder:
    """Counts how often it was asked."""

    def __init__(self, index: RecordIndex = INDEX) -> None:
        self.index, self.calls = index, 0

    def __call__(self, path: Path) -> RecordIndex:
        self.calls += 1
        return self.index


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "a.tfrecord"
    file.write_bytes(b"some records")
    return file


def assert_same(index: RecordIndex, expected: RecordIndex = INDEX) -> None:
    assert index.offsets.tolist() == expected.offsets.tolist()
    assert index.lengths.tolist() == expected.lengths.tolist()


@pytest.mark.parametrize("index", [INDEX, RecordIndex(np.array([0]), np.array([], dtype=np.int64))])
def test_what_was_built_once_is_read_again(path: Path, tmp_path: Path, index: RecordIndex) -> None:
    build = Builder(index)
    for _ in range(3):
        assert_same(kept_index(path, build, folder=tmp_path / "kept"), index)
    assert build.calls == 1
    assert not list((tmp_path / "kept").glob(".*"))


def test_without_a_folder_nothing_is_kept(path: Path, tmp_path: Path) -> None:
    build = Builder()
    kept_index(path, build, folder=None)
    kept_index(path, build, folder=None)
    assert build.calls == 2
    assert list(tmp_path.iterdir()) == [path]


def test_another_name_size_or_time_is_another_file(path: Path, tmp_path: Path) -> None:
    build, kept = Builder(), tmp_path / "kept"
    kept_index(path, build, folder=kept)
    other = tmp_path / "b.tfrecord"
    other.write_bytes(path.read_bytes())
    os.utime(other, ns=(0, path.stat().st_mtime_ns))
    kept_index(other, build, folder=kept)
    before = path.stat().st_mtime_ns
    path.write_bytes(b"some more records")
    os.utime(path, ns=(0, before))
    kept_index(path, build, folder=kept)
    os.utime(path, ns=(0, before + 1))
    kept_index(path, build, folder=kept)
    assert build.calls == 4


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied", "longer"])
def test_a_damaged_index_is_built_anew(
    path: Path, tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    build, kept = Builder(), tmp_path / "kept"
    kept_index(path, build, folder=kept)
    (file,) = kept.iterdir()
    raw = file.read_bytes()
    flipped = raw[:30] + bytes([raw[30] ^ 1]) + raw[31:]
    file.write_bytes({"cut": raw[:-8], "flipped": flipped, "emptied": b"", "longer": raw + b"\0"}[damage])
    assert_same(kept_index(path, build, folder=kept))
    assert build.calls == 2
    assert "is damaged and is built anew" in caplog.text
    assert_same(kept_index(path, build, folder=kept))
    assert build.calls == 2


def test_where_nothing_can_be_written_the_index_is_used_all_the_same(
    path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    with caplog.at_level(logging.WARNING):
        assert_same(kept_index(path, Builder(), folder=tmp_path / "file" / "kept"))
    assert "cannot be kept" in caplog.text


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: cannot be read"):
        kept_index(tmp_path / "nowhere", Builder(), folder=tmp_path)


def test_they_are_kept_beside_the_features(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_index_folder() == tmp_path / "plm" / "records"
