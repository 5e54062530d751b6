"""Files to examples: what is declared is what comes out."""

from __future__ import annotations

from pathlib import Path

import pytest

from plm.data.readers import Columns, Example, read_examples, read_parallel
from plm.errors import DataError


def write(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8", newline="")
    return path


def test_examples_carry_text_pair_label_id_and_line(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", "id\tq\ta\ty\nq7\twho?\tme\t yes \n")
    columns = Columns(text="q", pair="a", label="y", id="id")
    assert read_examples(path, columns) == [Example(id="q7", text="who?", pair="me", label="yes", line=2)]


def test_undeclared_columns_stay_none_and_the_line_is_the_id(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "x\ny\n")
    assert read_examples(path, Columns(text=0))[1] == Example(id="2", text="y", pair=None, label=None, line=2)


def test_json_lines_need_no_header(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"s": "x", "label": 2, "id": 5}\n')
    expected = [Example(id="5", text="x", pair=None, label="2", line=1)]
    assert read_examples(path, Columns(text="s", label="label", id="id")) == expected


def test_several_labels_are_split_at_the_separator(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", "text\ttags\nx\tnews | sport\ny\t\n")
    labels = [e.label for e in read_examples(path, Columns(text="text", label="tags", label_separator="|"))]
    assert labels == [("news", "sport"), ()]


@pytest.mark.parametrize("text", ["", "  "])
def test_empty_text_names_line_and_column_but_an_empty_pair_is_a_pair(tmp_path: Path, text: str) -> None:
    path = write(tmp_path / "a.tsv", f"q\ta\nx\t{text}\n{text}\ty\n")
    with pytest.raises(DataError, match=r"a.tsv, line 3, column 'q': the text is empty"):
        read_examples(path, Columns(text="q", pair="a"))
    path = write(tmp_path / "b.tsv", f"q\ta\nx\t{text}\n")
    assert read_examples(path, Columns(text="q", pair="a"))[0].pair == text


def test_a_header_read_as_data_is_refused_unless_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", "label\ttext\n1\tx\n")
    columns = Columns(text=1, label=0)
    with pytest.raises(DataError, match=r"line 1: the label 'label' looks like a header. Pass header=True"):
        read_examples(path, columns)
    assert len(read_examples(path, columns, header=True)) == 1
    assert len(read_examples(path, columns, header=False)) == 2


def test_a_file_without_rows_is_refused(tmp_path: Path) -> None:
    for content in ("", "text\tlabel\n"):
        with pytest.raises(DataError, match="holds no examples"):
            read_examples(write(tmp_path / "a.tsv", content), Columns(text="text"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": null, "label": 1}', "column 'text': expected a text, got null"),
        ('{"text": ["a"], "label": 1}', "column 'text': expected a text, got a list"),
        ('{"text": "a", "label": null}', "column 'label': the label is null"),
    ],
)
def test_json_cells_of_the_wrong_kind_are_refused(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_examples(write(tmp_path / "a.jsonl", line), Columns(text="text", label="label"))


def test_parallel_files_are_joined_line_by_line(tmp_path: Path) -> None:
    texts, labels = write(tmp_path / "seq.in", "play it\nrate it\n"), write(tmp_path / "label", "Play\nRate\n\n")
    assert [(e.text, e.label, e.line) for e in read_parallel(texts, labels)] == [
        ("play it", "Play", 1),
        ("rate it", "Rate", 2),
    ]
    assert [e.label for e in read_parallel(texts)] == [None, None]


def test_parallel_files_that_disagree_are_refused(tmp_path: Path) -> None:
    texts = write(tmp_path / "seq.in", "a\nb\n")
    with pytest.raises(DataError, match=r"seq.in has 2 lines, .*label has 1; they must agree line by line"):
        read_parallel(texts, write(tmp_path / "label", "X\n"))
    with pytest.raises(DataError, match="label, line 1: the line is empty"):
        read_parallel(texts, write(tmp_path / "label", "\nX\n"))
