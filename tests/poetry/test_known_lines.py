"""Lines that were learned, kept as hashes."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest

from plm.errors import CheckpointError
from plm.poetry.known_lines import FILE_NAME, KnownLines

LINES = ("山月照江云", "春风入夜来", "山月照江云")


def test_a_file_knows_the_lines_that_it_was_made_of(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(KnownLines.of(LINES).to_bytes())
    known = KnownLines.load(tmp_path)
    assert known is not None
    assert len(known) == 2
    assert all(line in known for line in LINES)
    assert "春风入夜去" not in known
    assert 5 not in known


def test_the_file_does_not_depend_on_the_order_of_the_lines() -> None:
    assert KnownLines.of(LINES).to_bytes() == KnownLines.of(reversed(LINES)).to_bytes()


def test_a_folder_without_the_file_says_nothing(tmp_path: Path) -> None:
    assert KnownLines.load(tmp_path) is None


def test_a_file_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(KnownLines.of(LINES).to_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"known_lines\.bin: the file is cut short"):
        KnownLines.load(tmp_path)


@pytest.mark.parametrize("raw", [b"nothing of ours", zlib.compress(b"seven b"), zlib.compress(bytes(2**27))])
def test_a_file_that_is_damaged_or_blown_up_is_refused(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(raw)
    with pytest.raises(CheckpointError, match=r"known_lines\.bin"):
        KnownLines.load(tmp_path)


def test_many_lines_take_less_than_three_bytes_each() -> None:
    assert len(KnownLines.of(map(str, range(200_000))).to_bytes()) < 3 * 200_000
