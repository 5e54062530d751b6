"""Files are found as a user means them, and packed ones are read to their last byte or not at all."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from plm.corpus.files import TextStream, find_files, total_bytes
from plm.errors import DataError

PACK: dict[str, Callable[[bytes], bytes]] = {
    ".gz": lambda data: gzip.compress(data, mtime=0),
    ".xz": lambda data: lzma.compress(data, preset=0),
    ".bz2": bz2.compress,
}
# Letters by chance, so that it stays long when packed; then a stretch that packs to almost nothing.
CONTENT = bytes(random.Random(5).choices(b"abcdefgh \n", k=300_000)) + b"x" * 2_000_000


def tree(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("text\n")


def found(folder: Path, *paths: str) -> list[str]:
    return [str(file.relative_to(folder)) for file in find_files([folder / path for path in paths])]


def read_all(path: Path, size: int = 1 << 18) -> bytes:
    with TextStream(path) as stream:
        return b"".join(iter(lambda: stream.read(size), b""))


def test_folders_stand_for_all_their_files_but_hidden_ones(tmp_path: Path) -> None:
    tree(tmp_path, "b.txt", "a/c.txt", "a/.hidden", ".git/d.txt", "a/b/e.txt.gz")
    assert found(tmp_path, ".") == ["a/b/e.txt.gz", "a/c.txt", "b.txt"]


def test_patterns_match_files_and_folders_but_hidden_ones(tmp_path: Path) -> None:
    tree(tmp_path, "b.txt", "a/c.txt", "a/d.md", ".e.txt", "[x].txt")
    assert found(tmp_path, "*.txt") == ["[x].txt", "b.txt"]
    assert found(tmp_path, "**/*.txt") == ["[x].txt", "a/c.txt", "b.txt"]
    assert found(tmp_path, "?") == ["a/c.txt", "a/d.md"]
    assert found(tmp_path, "[x].txt") == ["[x].txt"]  # a name that exists is no pattern


def test_files_come_sorted_and_once_however_they_are_named(tmp_path: Path) -> None:
    tree(tmp_path, "b.txt", "a.txt")
    (tmp_path / "link.txt").symlink_to("b.txt")
    assert found(tmp_path, "b.txt", "*.txt", "a.txt", ".") == ["a.txt", "b.txt"]
    assert find_files(str(tmp_path / "a.txt")) == find_files(tmp_path / "a.txt") == [tmp_path / "a.txt"]


def test_links_to_folders_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    tree(tmp_path, "outside/a.txt", "corpus/b.txt")
    (tmp_path / "corpus" / "more").symlink_to(tmp_path / "outside")
    (tmp_path / "corpus" / "self").symlink_to(tmp_path / "corpus")
    assert found(tmp_path, "corpus") == ["corpus/b.txt", "corpus/more/a.txt"]


@pytest.mark.parametrize(
    ("path", "fragment"),
    [("boks.txt", "did you mean 'books.txt'"), ("*.md", "no file matches"), ("empty", "holds no files")],
)
def test_a_path_that_stands_for_nothing_is_refused(tmp_path: Path, path: str, fragment: str) -> None:
    tree(tmp_path, "books.txt", "empty/.hidden")
    with pytest.raises(DataError, match=fragment):
        find_files([tmp_path / "books.txt", tmp_path / path])


def test_no_paths_and_pipes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no text files are given"):
        find_files([])
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="not a regular file"):
        find_files(tmp_path / "pipe")


def test_files_that_may_not_be_read_are_told_before_work_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree(tmp_path, "a.txt")
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may read everything
    with pytest.raises(DataError, match=r"a\.txt: may not be read"):
        find_files(tmp_path)


def test_sizes_are_those_on_the_disk(tmp_path: Path) -> None:
    tree(tmp_path, "a.txt")
    packed = gzip.compress(b"text\n" * 1000)
    (tmp_path / "b.txt.gz").write_bytes(packed)
    assert total_bytes(find_files(tmp_path)) == 5 + len(packed)
    with pytest.raises(DataError, match="gone"):
        total_bytes([tmp_path / "gone"])


@pytest.mark.parametrize("suffix", ["", *PACK])
@pytest.mark.parametrize("size", [1 << 12, 1 << 20, 1 << 22])
def test_packed_files_read_as_their_content(tmp_path: Path, suffix: str, size: int) -> None:
    path = tmp_path / f"a.txt{suffix}"
    path.write_bytes(PACK.get(suffix, bytes)(CONTENT))
    assert read_all(path, size) == CONTENT


@pytest.mark.parametrize("suffix", PACK)
@pytest.mark.parametrize("padding", [b"", b"\0" * 512])
def test_files_of_several_packed_parts_are_read_whole(tmp_path: Path, suffix: str, padding: bytes) -> None:
    path = tmp_path / f"a.txt{suffix}"
    path.write_bytes(b"".join(PACK[suffix](part) + padding for part in (b"one\n", b"", CONTENT, b"two\n")))
    assert read_all(path) == b"one\n" + CONTENT + b"two\n"


@pytest.mark.parametrize("suffix", ["", *PACK])
def test_skipping_passes_over_text_and_tells_how_much(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.txt{suffix}"
    path.write_bytes(PACK.get(suffix, bytes)(CONTENT))
    with TextStream(path) as stream:
        assert stream.skip(250_000) == 250_000
        assert stream.read(1000) == CONTENT[250_000:251_000]
        assert stream.skip(10_000_000) == len(CONTENT) - 251_000
        assert stream.read(1) == b""


@pytest.mark.parametrize("suffix", PACK)
@pytest.mark.parametrize("harm", ["cut", "empty", "flipped", "second part", "text"])
def test_damaged_files_are_refused_and_never_end_early(tmp_path: Path, suffix: str, harm: str) -> None:
    packed = PACK[suffix](CONTENT)
    middle = len(packed) // 3
    harmed = {
        "cut": packed[:-5],
        "empty": b"",
        "flipped": packed[:middle] + bytes([packed[middle] ^ 1]) + packed[middle + 1 :],
        "second part": packed + b"?" + PACK[suffix](CONTENT)[1:],
        "text": b"plain text\n",
    }
    path = tmp_path / f"a.txt{suffix}"
    path.write_bytes(harmed[harm])
    with pytest.raises(DataError, match=r"a\.txt\.\w+: damaged or cut off"):
        read_all(path)


def test_a_packed_file_that_unpacks_to_much_is_read_a_little_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "a.txt.bz2"
    path.write_bytes(bz2.compress(b"\n" * 50_000_000))
    with TextStream(path) as stream:
        assert stream.read(10) == b"\n" * 10
        assert len(stream._held) < 1 << 17


@pytest.mark.parametrize(
    ("head", "fragment"),
    [
        (gzip.compress(b"text", mtime=0), "end in .gz"),
        (lzma.compress(b"text"), "end in .xz"),
        (bz2.compress(b"text"), "end in .bz2"),
        ("text".encode("utf-16"), "utf-16"),
        ("text of some length".encode("utf-16le"), "utf-16le"),
        (b"PK\x03\x04", "zip"),
        (b"PAR1", "Parquet"),
    ],
)
def test_what_is_no_text_is_told_by_its_beginning(tmp_path: Path, head: bytes, fragment: str) -> None:
    tree(tmp_path, "a.txt")
    with TextStream(tmp_path / "a.txt") as stream, pytest.raises(DataError, match=fragment):
        stream.check_signature(head)
