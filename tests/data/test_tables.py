"""Rows come out as they stand in the file, or the message says where they do not."""

from __future__ import annotations

import csv
import gzip
import lzma
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plm.data.tables import FORMATS, TableFormat, read_lines, read_rows
from plm.errors import DataError, UnknownNameError
from tests.shared_data import shared_data

WANTED = {"text": "text", "label": "label"}


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def refuses(path: Path, *fragments: str, **options: object) -> None:
    wanted = options.pop("wanted", WANTED)
    with pytest.raises(DataError) as caught:
        list(read_rows(path, wanted, **options))  # type: ignore[arg-type]
    for fragment in fragments:
        assert fragment in str(caught.value)


def test_columns_are_found_by_name_in_any_order(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", "id\tlabel\ttext\n7\tgood\tfine words\n")
    assert list(read_rows(path, WANTED)) == [(2, {"text": "fine words", "label": "good"})]


def test_indexes_mean_no_header_and_count_from_the_end_too(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", "fine\tx\tgood\nbad one\ty\tbad\n")
    rows = list(read_rows(path, {"text": 0, "label": -1}))
    assert rows == [(1, {"text": "fine", "label": "good"}), (2, {"text": "bad one", "label": "bad"})]


def test_indexes_pass_over_a_header_when_told(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", "text\tlabel\nfine\tgood\n")
    assert list(read_rows(path, {"text": 0, "label": 1}, header=True)) == [(2, {"text": "fine", "label": "good"})]


def test_byte_order_mark_and_windows_line_ends_are_tolerated(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", b"\xef\xbb\xbftext\tlabel\r\nfine\tgood\r\n")
    assert list(read_rows(path, WANTED)) == [(2, {"text": "fine", "label": "good"})]


def test_tsv_keeps_quotes_as_text(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", 'text\tlabel\n"open\tgood\nsay ""it""\tbad\n')
    assert [cells["text"] for _, cells in read_rows(path, WANTED)] == ['"open', 'say ""it""']


def test_only_line_feeds_end_lines(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "one\u2028still one\x0band\x85on\ntwo\n")
    assert list(read_lines(path)) == [(1, "one\u2028still one\x0band\x85on"), (2, "two")]


def test_csv_reads_quoted_commas_quotes_and_line_breaks(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'label,text\n1,"a, b\nsaid ""c"""\n2,d\n')
    assert list(read_rows(path, WANTED)) == [
        (2, {"text": 'a, b\nsaid "c"', "label": "1"}),
        (4, {"text": "d", "label": "2"}),
    ]


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.text("ab,\"\n '\t é中", min_size=1), st.text('xy,"')), min_size=1))
def test_csv_reads_back_what_csv_wrote(tmp_path: Path, rows: list[tuple[str, str]]) -> None:
    path = tmp_path / "a.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([("text", "label"), *rows])
    assert [(cells["text"], cells["label"]) for _, cells in read_rows(path, WANTED)] == rows


def test_json_values_come_out_as_texts_and_lists_as_tuples(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"label": 3, "text": "x"}\n{"text": "y", "label": ["a", 1, true]}\n')
    assert [cells["label"] for _, cells in read_rows(path, WANTED)] == ["3", ("a", "1", "true")]


def test_blank_lines_at_the_end_are_passed_over(tmp_path: Path) -> None:
    for name, text in (("a.tsv", "text\tlabel\nx\ty\n\n\n"), ("a.csv", "text,label\nx,y\n\n\n")):
        assert len(list(read_rows(write(tmp_path / name, text), WANTED))) == 1


def test_wrong_number_of_columns_names_line_columns_and_way_out(tmp_path: Path) -> None:
    path = write(tmp_path / "train.tsv", "label\ttext\tother\n1\ta\tb\n0\tc\n")
    refuses(path, "train.tsv, line 3: expected 3 columns (label, text, other), got 2.", "Quoting is off in TSV")
    path = write(tmp_path / "plain.tsv", "1\ta\n0\tc\td\n")
    refuses(path, "line 2: expected 2 columns, as in the first line, got 3", wanted={"text": 1})
    path = write(tmp_path / "a.csv", 'text,label\n"x\ny",1\nz\n')
    refuses(path, "line 4: expected 2 columns (text, label), got 1", "double quotes")


def test_blank_line_in_the_middle_is_refused(tmp_path: Path) -> None:
    refuses(write(tmp_path / "a.tsv", "text\tlabel\n\nx\ty\n"), "line 2: expected 2 columns")


def test_unknown_column_lists_the_known_and_the_nearest(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", "sentence\tlabel\nx\t1\n")
    refuses(path, "line 1", "no column 'sentense'; did you mean 'sentence'?", wanted={"text": "sentense"})
    path = write(tmp_path / "a.jsonl", '{"sentence": "x"}\n')
    refuses(path, "line 1: no key 'sentense'; did you mean 'sentence'? (keys: 'sentence')", wanted={"text": "sentense"})


def test_columns_that_cannot_be_meant_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", "a\ta\nx\ty\n")
    refuses(path, "more than one column 'a'; give its index", wanted={"text": "a"})
    refuses(path, "column 2 is asked for, but there are 2 columns, 0 to 1", wanted={"text": 2})
    refuses(path, "by name, but header=False", wanted={"text": "a"}, header=False)


@pytest.mark.parametrize("line", ["{", "[1]", '{"text": {"a": 1}, "label": 1}', '{"text": [null], "label": 1}'])
def test_bad_json_names_its_line(tmp_path: Path, line: str) -> None:
    refuses(write(tmp_path / "a.jsonl", '{"text": "x", "label": 1}\n' + line + "\n"), "a.jsonl, line 2")


def test_unclosed_csv_quote_names_the_line_where_it_opens(tmp_path: Path) -> None:
    refuses(write(tmp_path / "a.csv", 'text,label\nx,1\n"y,2\nz,3\n'), "line 3: the record that starts here", "quote")


def test_other_encodings_name_line_and_byte(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", b"text\tlabel\nok\t1\n" + "酒店".encode("gb18030") + b"\t1\n")
    refuses(path, "line 3, byte 1: not UTF-8", "iconv")


def test_missing_file_names_a_near_one(tmp_path: Path) -> None:
    write(tmp_path / "train.tsv", "")
    refuses(tmp_path / "trian.tsv", "trian.tsv: cannot be read", "did you mean 'train.tsv'?")


def test_format_is_told_by_suffix_or_by_name(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "text\tlabel\nx\ty\n")
    refuses(path, "the suffix '.txt' tells no format", "pass format=, one of tsv, csv, jsonl")
    assert len(list(read_rows(path, WANTED, format="tsv"))) == 1
    with pytest.raises(UnknownNameError, match="did you mean 'tsv'"):
        list(read_rows(path, WANTED, format="tsb"))


def test_a_format_can_be_added_from_outside(tmp_path: Path) -> None:
    FORMATS.add("words", TableFormat((".words",), lambda path, wanted, header: iter([(1, {"text": path.stem})])))
    try:
        assert list(read_rows(tmp_path / "hello.words", {"text": 0})) == [(1, {"text": "hello"})]
    finally:
        FORMATS.remove("words")


def test_messages_begin_with_the_path_as_given(tmp_path: Path) -> None:
    path = write(tmp_path / "train.tsv", "a\tb\nc\n")
    with pytest.raises(DataError, match=re.escape(f"{path}, line 2: ")):
        list(read_rows(path, {"text": 0}))


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".xz", lzma.compress)])
def test_compressed_files_are_read_as_what_they_hold(
    suffix: str, pack: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    for name, text in (("a.tsv", "text\tlabel\nfine\tgood\n"), ("b.CSV", 'text,label\n"fine",good\n')):
        path = write(tmp_path / f"{name}{suffix}", pack(text.encode("utf-8-sig")))
        assert list(read_rows(path, WANTED)) == [(2, {"text": "fine", "label": "good"})]
    path = write(tmp_path / f"c.jsonl{suffix}", pack(b'{"text": "fine", "label": "good"}\n{"text"'))
    refuses(path, f"c.jsonl{suffix}, line 2: not JSON")


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".xz", lzma.compress)])
def test_a_damaged_archive_is_named(suffix: str, pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    whole = pack(b"text\tlabel\n" + b"fine\tgood\n" * 999)
    for content in (whole[: len(whole) // 2], b"text\tlabel\nfine\tgood\n"):
        refuses(write(tmp_path / f"a.tsv{suffix}", content), "a.tsv", "damaged, or not what its suffix")


def test_an_archive_whose_name_tells_no_format_needs_one(tmp_path: Path) -> None:
    path = write(tmp_path / "data.gz", gzip.compress(b"text\tlabel\nfine\tgood\n"))
    refuses(path, "tells no format; pass format=, one of tsv, csv, jsonl")
    assert len(list(read_rows(path, WANTED, format="tsv"))) == 1


def test_a_real_archive_is_read_whole() -> None:
    labels = [
        cells["label"] for _, cells in read_rows(shared_data("imdb", "train_rest_20k.tsv.xz"), {"label": "label"})
    ]
    assert (labels.count("0"), labels.count("1")) == (10000, 10000)


def test_a_folder_in_place_of_a_file_is_not_its_own_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be read: Is a directory$"):
        list(read_lines(tmp_path))
