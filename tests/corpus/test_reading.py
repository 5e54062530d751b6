"""Documents come out whole and the same, however their files are packed and cut into blocks."""

from __future__ import annotations

import gzip
import json
import pickle
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from plm.corpus.reading import (
    Block,
    ParsedBlock,
    Position,
    TextLayout,
    documents_of,
    find_files,
    join_documents,
    read_blocks,
    total_bytes,
)
from plm.corpus.sentences import split_sentences
from plm.errors import ConfigError, DataError
from tests.shared_data import shared_data

SENTENCES = TextLayout(kind="sentences")
LAYOUTS = [
    TextLayout(kind=kind, split=split)  # type: ignore[arg-type]
    for kind in ("sentences", "documents", "files", "jsonl")
    for split in (None, "none", "rules")
]


def write(path: Path, content: str | bytes) -> Path:
    data = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(data, 1) if path.suffix == ".gz" else data)
    return path


def documents(files: list[Path], layout: TextLayout = SENTENCES, **options: Any) -> list[list[str]]:
    return list(join_documents(documents_of(block, layout) for block in read_blocks(files, layout, **options)))


def told(text: str, layout: TextLayout) -> list[list[str]]:
    """The documents of one file as the layout's description has them, without any blocks."""
    lines = text.removeprefix("\ufeff").split("\n")
    split = layout.split or ("none" if layout.kind == "sentences" else "rules")

    def cut(line: str) -> list[str]:
        return split_sentences(line) if split == "rules" else [line.strip()] if line.strip() else []

    if layout.kind == "jsonl":
        values = [json.loads(line)["text"] for line in lines if line.strip()]
        found = [[piece for line in value.split("\n") for piece in cut(line)] for value in values]
    elif layout.kind == "documents":
        found = [cut(line) for line in lines]
    elif layout.kind == "files":
        found = [[piece for line in lines for piece in cut(line)]]
    else:
        found = [[]]
        for line in lines:
            if line.strip():
                found[-1] += cut(line)
            else:
                found.append([])
    return [document for document in found if document]


# Characters that end lines for some programs, and some that files should not hold; a file of many NULs is no text.
TEXT = st.text(
    st.sampled_from("ab. 。！\n\n\n\r\t\0\u2028\x85\ufeff") | st.characters(codec="utf-8"), max_size=60
).filter(lambda text: text.count("\0") * 4 <= len(text))


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(TEXT, min_size=1, max_size=3),
    layout=st.sampled_from(LAYOUTS),
    size=st.integers(1, 70),
    is_packed=st.booleans(),
)
@example(texts=["a\n\nb\n"], layout=SENTENCES, size=1, is_packed=False)
@example(texts=["", "\ufeffa"], layout=SENTENCES, size=1, is_packed=True)
def test_documents_do_not_depend_on_the_size_of_blocks(
    tmp_path: Path, texts: list[str], layout: TextLayout, size: int, is_packed: bool
) -> None:
    if layout.kind == "jsonl":
        texts = ["\n".join([json.dumps({"text": text}), " ", json.dumps({"text": text[::-1]})]) for text in texts]
    files = [write(tmp_path / f"{i}.txt{'.gz' if is_packed else ''}", text) for i, text in enumerate(texts)]
    blocks = list(read_blocks(files, layout, size=size))

    expected = [document for text in texts for document in told(text, layout)]
    assert list(join_documents(documents_of(block, layout) for block in blocks)) == expected
    for block in blocks:
        assert len(block.raw) <= size or b"\n" not in block.raw[:-1]
        assert block.is_last_of_file or block.raw.endswith(b"\n")
        sentences, ends = documents_of(block, layout)
        assert ends == sorted(set(ends))
        assert all(0 <= end <= len(sentences) for end in ends)
        assert all(sentence and sentence == sentence.strip() for sentence in sentences)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(TEXT, min_size=1, max_size=3), size=st.integers(1, 30), is_packed=st.booleans())
def test_reading_goes_on_after_any_block_as_if_never_broken_off(
    tmp_path: Path, texts: list[str], size: int, is_packed: bool
) -> None:
    files = [write(tmp_path / f"{i}.txt{'.gz' if is_packed else ''}", text) for i, text in enumerate(texts)]
    blocks = list(read_blocks(files, SENTENCES, size=size))
    for number, text in enumerate(texts):
        own = [block for block in blocks if block.file == number]
        assert b"".join(block.raw for block in own) == text.encode()
        assert [block.is_last_of_file for block in own] == [False] * (len(own) - 1) + [True]
        assert own[-1].disk_end == files[number].stat().st_size
    for done, block in enumerate(blocks, 1):
        assert list(read_blocks(files, SENTENCES, size=size, start=block.next)) == blocks[done:]
        assert (
            list(read_blocks(files, SENTENCES, size=size, start=Position(block.file, block.offset)))
            == blocks[done - 1 :]
        )
    assert pickle.loads(pickle.dumps(blocks)) == blocks


def test_the_end_of_the_last_block_is_a_place_to_go_on_from_too(tmp_path: Path) -> None:
    files = [write(tmp_path / "a.txt", "one\ntwo")]
    (end,) = read_blocks(files, SENTENCES, start=Position(0, 7))
    assert (end.raw, end.is_last_of_file, documents_of(end, SENTENCES)) == (b"", True, ParsedBlock([], [0]))
    assert list(read_blocks(files, SENTENCES, start=Position(1, 0))) == []


def test_only_line_feeds_end_lines_and_marks_and_returns_are_no_text(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "\ufeffone\r\n\u3000\r\ntwo\x85half\u2028three\0\rfour\x0bfive\x1csix".encode())
    assert documents([path]) == [["one"], ["two\x85half\u2028three\0\rfour\x0bfive\x1csix"]]


def test_a_document_ends_with_its_file_and_empty_ones_are_none(tmp_path: Path) -> None:
    contents = ["one\ntwo", "", "\n\n \n", "three\n\n\n", "four\n", "\ufeff"]
    files = [write(tmp_path / f"{i}.txt", content) for i, content in enumerate(contents)]
    for size in (1, 1 << 20):
        assert documents(files, size=size) == [["one", "two"], ["three"], ["four"]]


def test_ends_are_the_sentences_before_them(tmp_path: Path) -> None:
    (block,) = read_blocks([write(tmp_path / "a.txt", "\n\none\ntwo\n\n\nthree\n")], SENTENCES)
    assert documents_of(block, SENTENCES) == ParsedBlock(["one", "two", "three"], [0, 2, 3])


@pytest.mark.parametrize("suffix", [".txt", ".txt.gz"])
def test_bytes_that_are_no_utf8_are_told_by_line_and_byte(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a{suffix}", "一\n".encode() * 50 + "二三".encode("gb18030"))
    with pytest.raises(DataError, match=r"a\.txt(\.gz)?, line 51, byte 1: not UTF-8.*iconv -f gb18030"):
        documents([path], size=20)


def test_wrong_json_is_told_by_line_and_column(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"text": "a"}\n' * 50 + '\n{"text": a}\n')
    with pytest.raises(DataError, match=r"a\.jsonl, line 52, column 10: not JSON"):
        documents([path], TextLayout(kind="jsonl"), size=40)


def test_the_line_is_counted_from_the_block_where_the_file_is_gone(tmp_path: Path) -> None:
    block = Block(path=str(tmp_path / "gone.txt"), file=0, offset=70, raw=b"a\n\xff", is_last_of_file=True, disk_end=73)
    with pytest.raises(DataError, match=r"gone\.txt, line 2 from byte 70 on, byte 1: not UTF-8"):
        documents_of(block, SENTENCES)


@pytest.mark.parametrize(
    ("name", "content", "kind", "fragment"),
    [
        ("a.txt", "text".encode("utf-16"), "sentences", "UTF-16, not UTF-8"),
        ("a.txt", gzip.compress(b"text", mtime=0), "files", r"end in \.gz"),
        ("a.json.gz", b' [\n{"text": "a"}]', "jsonl", "a JSON list, not JSON lines"),
        ("a.jsonl", b'\xef\xbb\xbf{"text": "a"}', "documents", "kind=\"jsonl\", not 'documents'"),
    ],
)
def test_files_of_another_kind_are_refused_at_their_beginning(
    tmp_path: Path, name: str, content: bytes, kind: Any, fragment: str
) -> None:
    with pytest.raises(DataError, match=fragment):
        next(read_blocks([write(tmp_path / name, content)], TextLayout(kind=kind)))


def test_a_cut_off_file_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt.gz", "text\n" * 1000)
    path.write_bytes(path.read_bytes()[:-6])
    with pytest.raises(DataError, match=r"a\.txt\.gz: damaged or cut off"):
        documents([path])


def test_a_line_without_an_end_is_refused_before_memory_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plm.corpus.reading._LONGEST_LINE", 1 << 21)
    path = write(tmp_path / "a.txt", "one\n" + "x" * (1 << 23))
    with pytest.raises(DataError, match="the line that begins at byte 4 is longer than 2 MiB"):
        documents([path], size=1000)


@pytest.mark.parametrize(("offset", "fragment"), [(2, "has no line that begins there"), (9, "holds 8 bytes of text")])
@pytest.mark.parametrize("suffix", [".txt", ".txt.gz"])
def test_a_file_that_was_changed_since_is_refused(tmp_path: Path, suffix: str, offset: int, fragment: str) -> None:
    path = write(tmp_path / f"a{suffix}", "one\ntwo\n")
    with pytest.raises(DataError, match=fragment):
        documents([path], start=Position(0, offset))


def test_sizes_and_starts_that_cannot_be_are_refused(tmp_path: Path) -> None:
    files = [write(tmp_path / "a.txt", "one\n")]
    for options in ({"size": 0}, {"start": Position(2, 0)}, {"start": Position(0, -1)}):
        with pytest.raises(ConfigError, match="expected size >= 1 and a start in one of 1 files"):
            documents(files, **options)


def test_progress_rises_to_the_size_on_the_disk(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt.gz"):
        files = [write(tmp_path / name, "".join(f"line {i * i}\n" for i in range(200_000)))]
        places = [block.disk_end for block in read_blocks(files, SENTENCES, size=1 << 16)]
        assert places == sorted(places)
        assert places[-1] == total_bytes(files)
        assert places[len(places) // 2] < 0.7 * places[-1]


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt.gz", b"a line of text\n" * 200_000)
    tracemalloc.start()
    try:
        lines = sum(
            len(documents_of(block, SENTENCES).sentences) for block in read_blocks([path], SENTENCES, size=1 << 13)
        )
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert lines == 200_000
    assert peak < 1_000_000  # of 3 million bytes


def test_reading_does_without_torch() -> None:
    code = "import sys, plm.corpus.reading; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_real_texts_have_the_documents_that_their_readme_tells() -> None:
    books, packed = find_files([shared_data("text_en", "books.txt"), shared_data("text_en", "books_more.txt.xz")])
    layout = TextLayout(kind="sentences", split="rules")
    assert len(documents([books], layout, size=100_000)) == 891
    assert len(documents([packed])) == 1084
    assert sum(map(len, documents([books]))) == 42833
