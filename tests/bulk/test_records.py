"""Files to records, and records to what they say or why they cannot be used."""

from __future__ import annotations

import bz2
import csv
import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plm.bulk import records as module
from plm.bulk.cells import Refused, Unfit
from plm.bulk.records import open_records
from plm.data import Columns, read_examples
from plm.errors import DataError

Told = list[tuple[int, Any]]


def read(path: Path, *, header: bool | None = None, format: str | None = None, **wanted: str | int) -> Told:
    """Number of each record, and its cells or the reason against it."""
    told: Told = []
    with open_records(path, wanted or {"text": "text"}, format=format, header=header) as records:
        for number, raw in records:
            try:
                told.append((number, raw.reason if isinstance(raw, Refused) else dict(records.parse(raw))))
            except Unfit as error:
                told.append((number, str(error)))
    return told


@pytest.mark.parametrize(
    ("name", "pack"),
    [("a.jsonl", bytes), ("a.jsonl.gz", gzip.compress), ("a.jsonl.xz", lzma.compress), ("a.jsonl.bz2", bz2.compress)],
)
def test_packed_files_are_unpacked(tmp_path: Path, name: str, pack: Callable[[bytes], bytes]) -> None:
    (tmp_path / name).write_bytes(pack(b'\xef\xbb\xbf{"text": "one"}\r\n{"text": 2}\n\n \n'))
    assert read(tmp_path / name) == [(1, {"text": "one"}), (2, {"text": "2"})]


def test_tables_hold_quotes_as_text_and_their_columns_by_name_or_index(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text('id\ttext\n7\t"a\n8\tb"\n')
    assert read(path, text="text", id="id") == [(2, {"text": '"a', "id": "7"}), (3, {"text": 'b"', "id": "8"})]
    assert read(path, text=-1, header=False)[0] == (1, {"text": "text"})


@settings(deadline=None, max_examples=40)
@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), min_size=1), min_size=1, max_size=8))
def test_csv_is_read_as_training_reads_it(tmp_path_factory: pytest.TempPathFactory, cells: list[str]) -> None:
    texts = [f"x{cell}" for cell in cells]
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["text", "other"], *([text, "1"] for text in texts)])
    expected = [(one.line, {"text": one.text}) for one in read_examples(path, Columns(text="text"))]
    assert read(path) == expected
    assert [cell["text"] for _, cell in read(path)] == texts


def test_what_cannot_be_used_is_told_with_its_line_and_the_rest_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    lines = [b'{"text": "a"}', b"{", b"[1]", b'{"txt": "b"}', b'{"text": null}', b'{"text": "\xff"}', b'{"text": "z"}']
    path.write_bytes(b"\n".join(lines))
    reasons = dict(read(path))
    assert (reasons[1], reasons[7]) == ({"text": "a"}, {"text": "z"})
    assert [reasons[line].split(" (")[0] for line in (2, 3, 4, 5, 6)] == [
        "not JSON",
        "expected a JSON object, got list; one object a line, no list around",
        "no key 'text'; did you mean 'txt'?",
        "key 'text': expected a text, got null",
        "byte 11 is not UTF-8; convert the file first, for example with `iconv -f latin1 -t utf-8`",
    ]


def test_csv_goes_on_after_a_damaged_record(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b'text,n\na,1\n"b"c,2\nd\xff,3\n"two\nlines",4\ne,5,6\nf,7\n"open\nto the end\n')
    told = dict(read(path))
    assert list(told) == [2, 3, 4, 5, 7, 8, 9]
    assert (told[2], told[5], told[8]) == ({"text": "a"}, {"text": "two\nlines"}, {"text": "f"})
    assert "line 3 is not CSV" in told[3]
    assert told[4] == "byte 2 is not UTF-8"
    assert "expected 2 columns (text, n), got 3" in told[7]
    assert "line 9 to 10 is not CSV" in told[9]


def test_a_line_without_end_fills_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST_LINE", 1 << 20)
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "a"}\n' + b"x" * (5 << 20) + b'\n{"text": "b"}\n')
    assert read(path) == [(1, {"text": "a"}), (2, "the line is longer than 1 MiB"), (3, {"text": "b"})]


def test_what_holds_for_the_whole_file_is_an_error_at_once(tmp_path: Path) -> None:
    path = tmp_path / "texts.tsv"
    path.write_text("review\tstars\na\t1\n")
    with pytest.raises(DataError, match=r"line 1: no column 'reviews'; did you mean 'review'"):
        read(path, text="reviews")
    with pytest.raises(DataError, match="column 2 is asked for, but there are 2"):
        read(path, text=2)
    with pytest.raises(DataError, match=r"no such file; did you mean 'texts.tsv'"):
        read(tmp_path / "text.tsv")
    with pytest.raises(DataError, match="tells no format"):
        read(path.rename(tmp_path / "texts.doc"))
    damaged = tmp_path / "a.jsonl.gz"
    damaged.write_bytes(gzip.compress(json.dumps({"text": "a" * 500}).encode())[:-9])
    with pytest.raises(DataError, match="damaged, cut off"):
        read(damaged)


def test_parquet_has_texts_numbers_and_bytes(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "a.parquet"
    raw = arrow.array([b"a", b"\xff", None, b"d"], arrow.binary())
    texts = arrow.Array.from_buffers(arrow.string(), 4, raw.buffers(), null_count=1)
    parquet.write_table(arrow.table({"n": [1, 2, 3, 4], "text": texts, "list": [[1]] * 4}), path, row_group_size=2)
    told = dict(read(path, text="text", id="n"))
    assert (told[1], told[4]) == ({"text": "a", "id": "1"}, {"text": "d", "id": "4"})
    assert told[2].startswith("byte 1 is not UTF-8")
    assert told[3] == "column 'text': expected a text, got null"
    assert "expected a text, got list" in read(path, text="list")[0][1]
    with pytest.raises(DataError, match="did you mean 'text'"):
        read(path, text="texts")
    path.write_bytes(b"PAR1 no more")
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        read(path)
