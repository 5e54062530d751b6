"""Lines that were learned, kept as hashes."""

from __future__ import annotations

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
    with pytest.raises(CheckpointError, match=r"known_lines.bin: 9 bytes"):
        KnownLines.load(tmp_path)
