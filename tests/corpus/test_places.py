"""Places of blocks: what is read at them is what read_blocks reads, however the text is cut."""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from plm.corpus import places
from plm.corpus.places import BlockPlace, find_blocks, read
from plm.corpus.reading import Position, TextLayout, read_blocks
from plm.errors import ConfigError, DataError

LAYOUT = TextLayout(kind="sentences")


@settings(deadline=None, max_examples=100)
@given(
    texts=st.lists(st.text(alphabet="ab\n", max_size=60), min_size=1, max_size=3),
    size=st.integers(1, 25),
    reach=st.integers(1, 10),
)
@example(texts=["", "\n", "a" * 1500 + "\nb"], size=7, reach=3)
def test_places_are_those_of_read_blocks_from_any_of_them_on(texts: list[str], size: int, reach: int) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(places, "_REACH", reach)
        files = [Path(folder, f"{number}.txt") for number in range(len(texts))]
        for file, text in zip(files, texts, strict=True):
            file.write_text(text)
        expected = list(read_blocks(files, LAYOUT, size=size))
        assert [read(block) for block in find_blocks(files, LAYOUT, size=size)] == expected
        for number, block in enumerate(expected):
            rest = find_blocks(files, LAYOUT, start=block.next, size=size)
            assert [read(found) for found in rest] == expected[number + 1 :]


def test_only_what_cannot_be_found_without_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("short\n" * 50 + "l" * 100 + "\nshort\n")
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(b"packed\n"))
    found = list(find_blocks([tmp_path / "a.txt", tmp_path / "b.txt.gz"], LAYOUT, size=60))
    whole = [read(block).raw for block in found if not isinstance(block, BlockPlace)]
    assert whole == [b"l" * 100 + b"\n", b"packed\n"]
    assert len(found) == 8


@pytest.mark.parametrize(("start", "size"), [(Position(2, 0), 5), (Position(0, -1), 5), (Position(0, 0), 0)])
def test_arguments_that_cannot_be_are_refused(tmp_path: Path, start: Position, size: int) -> None:
    (tmp_path / "a.txt").write_text("text\n")
    with pytest.raises(ConfigError, match="expected size >= 1"):
        list(find_blocks([tmp_path / "a.txt"], LAYOUT, start=start, size=size))


def test_what_is_no_text_of_the_layout_is_refused_before_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"PK\x03\x04")
    with pytest.raises(DataError, match="a zip archive"):
        next(find_blocks([tmp_path / "a.txt"], LAYOUT))


def test_a_file_that_is_cut_off_or_gone_is_told(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("one\ntwo\n")
    _, last = find_blocks([file], LAYOUT, size=4)
    file.write_text("one\n")
    with pytest.raises(DataError, match=r"a\.txt: ends at byte 4, though it had 8 before"):
        read(last)
    file.unlink()
    with pytest.raises(DataError, match=r"No such file or directory\. Every machine"):
        read(last)
