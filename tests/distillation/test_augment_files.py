"""Augmented tables: read by the same task, with the same texts, whatever stands in them."""

from __future__ import annotations

import csv
import gzip
import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import plm.distillation.augment_files
from plm.data.glue import GLUE_TASKS
from plm.data.readers import Columns, Example, read_examples
from plm.distillation.augment_files import augment_file
from plm.distillation.augmentation import Augmentation, Augmenter, variants_of
from plm.distillation.word_vectors import WordVectors
from plm.errors import ConfigError, DataError
from plm.tasks.classification import Classification
from plm.tasks.glue import glue_task
from tests.shared_data import shared_data

WORDS = ("good", "fine", "film", "movie", "day", "night", "says", "told")
VECTORS = WordVectors(WORDS, np.random.default_rng(3).normal(size=(len(WORDS), 4)).astype(np.float32))
SINGLE = Columns(text="text", label="label")
PAIRS = Columns(text="one", pair="two", label="label")


def augmenter(**changes: Any) -> Augmenter:
    return Augmenter(Augmentation(**{"variants": 4, "probability": 0.8, **changes}), vectors=VECTORS)


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8", newline="")
    return path


def content(examples: list[Example]) -> list[tuple[str, str | None, Any]]:
    return [(example.text, example.pair, example.label) for example in examples]


def test_quotes_and_signs_come_back_as_they_were(tmp_path: Path) -> None:
    text = "he says \"good film\" , 'fine' \\ day"
    source = written(tmp_path / "a.tsv", f'text\tlabel\n{text}\t1\n"\tx\n')
    report = augment_file(source, tmp_path / "b.tsv", SINGLE, augmenter())
    examples = read_examples(tmp_path / "b.tsv", SINGLE)
    assert examples[0].text == text
    assert examples[-1].text == '"'
    assert len(examples) == report.rows_written > 2
    for example in examples[:-1]:
        assert example.text.count('"') == 2
        assert '""' not in example.text
    assert (tmp_path / "b.tsv").read_text().startswith(f"text\tlabel\n{text}\t1\n")


def test_each_text_of_a_pair_varies_beside_the_other_as_it_was(tmp_path: Path) -> None:
    rows = [("good film", "a day says", "0"), ("fine movie", "the night", "1")]
    source = written(tmp_path / "a.tsv", "one\ttwo\tlabel\n" + "".join("\t".join(row) + "\n" for row in rows))
    report = augment_file(source, tmp_path / "b.tsv", PAIRS, augmenter())
    found = content(read_examples(tmp_path / "b.tsv", PAIRS))
    assert len(found) == len(set(found)) == report.rows_written
    counts: Counter[str] = Counter()
    for one, two, label in found:
        [row] = [row for row in rows if row[2] == label]
        assert one == row[0] or two == row[1]
        counts["one"] += one != row[0]
        counts["two"] += two != row[1]
    assert report.added == dict(counts)
    assert report.rows_read == 2
    assert all(0 < count <= 2 * 4 for count in counts.values())
    assert str(report) == f"{len(found)} rows: 2 as they were, {counts['one']} with another 'one' and " + (
        f"{counts['two']} with another 'two'"
    )


def test_equal_texts_of_a_pair_vary_differently(tmp_path: Path) -> None:
    source = written(tmp_path / "a.tsv", "one\ttwo\tlabel\ngood film day\tgood film day\t1\n")
    augment_file(source, tmp_path / "b.tsv", PAIRS, augmenter())
    found = content(read_examples(tmp_path / "b.tsv", PAIRS))
    assert {one for one, _, _ in found} != {two for _, two, _ in found}


@pytest.mark.parametrize(("name", "row"), [
    ("cola", ["gj04", "0", "*", "the good film"]),
    ("sst-2", ["good film ", "1"]),
    ("mrpc", ["1", "7", "8", "good \"film\"", "a fine day"]),
    ("sts-b", ["0", "g", "f", "2012", "1", "n", "n", "good film", "fine day", "3.800"]),
    ("qqp", ["0", "1", "2", "good film ?", "what day ?", "1"]),
    ("mnli", ["0", "1", "2", "g", "( b )", "( b )", "( p )", "( p )", "good film", "fine day", "neutral", "neutral"]),
    ("qnli", ["0", "good film ?", "fine day", "entailment"]),
    ("rte", ["0", "good film", "fine day", "not_entailment"]),
])  # fmt: skip
def test_glue_files_keep_columns_headers_and_labels(tmp_path: Path, name: str, row: list[str]) -> None:
    columns = GLUE_TASKS[name].columns
    names = [f"c{number}" for number in range(len(row))]
    for role in (columns.text, columns.pair, columns.label):
        if isinstance(role, str):
            place = {"label": -1, "gold_label": -1, "score": -1, "is_duplicate": -1, "Quality": 0}.get(role)
            names[row.index(_text_of(name, role)) if place is None else place] = role
    header = [] if name == "cola" else ["\t".join(names)]
    source = written(tmp_path / "train.tsv", "\n".join([*header, "\t".join(row)]) + "\n")
    task = glue_task(name)
    report = augment_file(source, tmp_path / "train_aug.tsv", task.columns, augmenter(variants=variants_of(name)))
    lines = (tmp_path / "train_aug.tsv").read_text(encoding="utf-8").splitlines()
    assert lines[: len(header) + 1] == [*header, "\t".join(row)]
    assert {len(line.split("\t")) for line in lines} == {len(row)}
    before, after = task.read(source), task.read(tmp_path / "train_aug.tsv")
    assert len(after) == report.rows_written > 1
    assert {example.label for example in after} == {before[0].label}
    columns_varied = 2 if columns.pair else 1
    assert len(after) <= 1 + columns_varied * variants_of(name)


def _text_of(task: str, column: str) -> str:
    first = {"sst-2": "good film ", "mrpc": 'good "film"', "qqp": "good film ?", "qnli": "good film ?"}
    second = {"mrpc": "a fine day", "qqp": "what day ?"}
    is_first = column == GLUE_TASKS[task].columns.text
    return first.get(task, "good film") if is_first else second.get(task, "fine day")


def test_numbers_stay_the_labels_of_regression(tmp_path: Path) -> None:
    source = written(tmp_path / "a.jsonl", '{"text": "good film", "score": 2.5, "more": {"kept": [1, null]}}\n')
    task = Classification(label="score", problem_type="regression")
    augment_file(source, tmp_path / "b.jsonl", task.columns, augmenter())
    objects = [json.loads(line) for line in (tmp_path / "b.jsonl").read_text().splitlines()]
    assert len(objects) > 1
    assert all(one["score"] == 2.5 and one["more"] == {"kept": [1, None]} for one in objects)


def test_json_texts_may_hold_tabs_line_ends_and_any_character(tmp_path: Path) -> None:
    text = 'good\tfilm\n"day"\r\n\u2028 电影 \ud83d\ude00'
    lines = json.dumps({"text": text, "label": "x"}) + "\n" + json.dumps({"text": "film \ud800", "label": "y"}) + "\n"
    source = written(tmp_path / "a.jsonl", lines)
    augment_file(source, tmp_path / "b.jsonl", SINGLE, augmenter())
    found = read_examples(tmp_path / "b.jsonl", SINGLE)
    text = json.loads(json.dumps(text))
    assert found[0].text == text
    assert {example.text for example in found if example.label == "y"} >= {"film \ud800"}
    assert "电影" in (tmp_path / "b.jsonl").read_text(encoding="utf-8")


cells = st.text(st.sampled_from("good film\"',;\\\n\r#电 "), max_size=12)
tsv_cells = st.text(st.sampled_from("good film\"',;\\\r#电 "), max_size=12)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=4), st.booleans())
def test_csv_texts_come_back_whatever_they_hold(rows: list[tuple[str, str]], crlf: bool) -> None:
    rows = [(f"good {text} film", more) for text, more in rows]
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "a.csv"
        with source.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\r\n" if crlf else "\n").writerows(
                [("text", "pair", "label"), *((text, more, "1") for text, more in rows)]
            )
        _comes_back(source, Path(folder) / "b.csv")


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(tsv_cells, tsv_cells), min_size=1, max_size=4))
def test_tsv_texts_come_back_whatever_they_hold(rows: list[tuple[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        lines = ["text\tlabel\tpair", *(f"good {text} film\t1\t{more}" for text, more in rows)]
        source = written(Path(folder) / "a.tsv", "".join(line + "\r\n" for line in lines))
        _comes_back(source, Path(folder) / "b.tsv")


def _comes_back(source: Path, target: Path) -> None:
    """The rows of the source are those rows of the target behind which their variants stand."""
    columns = Columns(text="text", pair="pair", label="label")
    before = read_examples(source, columns)
    with mock.patch.object(plm.distillation.augment_files, "TEXTS_AT_A_TIME", 2):
        augment_file(source, target, columns, augmenter())
    after = content(read_examples(target, columns))
    expected = []
    for row, example in enumerate(before):
        ones = augmenter().augment_rows([example.text], [row])[0][1:]
        twos = augmenter().augment_rows([example.pair or ""], [row], column=1)[0][1:]
        expected += [(example.text, example.pair, "1")]
        expected += [(one, example.pair, "1") for one in ones]
        expected += [(example.text, two, "1") for two in twos]
    assert after == expected


def test_packed_files_are_read_and_written_alike_each_time(tmp_path: Path) -> None:
    (tmp_path / "a.tsv.gz").write_bytes(gzip.compress(b"text\tlabel\ngood film\t1\n"))
    plain = augment_file(tmp_path / "a.tsv.gz", tmp_path / "b.tsv", SINGLE, augmenter())
    for name in ("b.tsv.gz", "c.tsv.gz", "b.tsv.xz"):
        assert augment_file(tmp_path / "a.tsv.gz", tmp_path / name, SINGLE, augmenter()) == plain
        assert read_examples(tmp_path / name, SINGLE) == read_examples(tmp_path / "b.tsv", SINGLE)
    assert (tmp_path / "b.tsv.gz").read_bytes() == (tmp_path / "c.tsv.gz").read_bytes()


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    source = written(tmp_path / "a.tsv", "text\tlabel\n" + "good film\t1\n" * 9)
    target = written(tmp_path / "b.tsv", "old")
    failing = augmenter()
    with (
        mock.patch.object(plm.distillation.augment_files, "TEXTS_AT_A_TIME", 4),
        mock.patch.object(failing, "augment_rows", side_effect=[[["good film", "good day"]] * 4, KeyboardInterrupt]),
        pytest.raises(KeyboardInterrupt),
    ):
        augment_file(source, target, SINGLE, failing)
    assert target.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tsv", "b.tsv"]


def test_the_target_is_a_plain_file_in_a_folder_that_may_be_new(tmp_path: Path) -> None:
    source = written(tmp_path / "a.tsv", "good film\t1\n\n\n")
    target = tmp_path / "new" / "b.tsv"
    augment_file(source, target, Columns(text=0, label=-1), augmenter())
    assert target.stat().st_mode == source.stat().st_mode
    assert target.read_text().endswith("\t1\n")


def test_what_cannot_be_meant_is_refused(tmp_path: Path) -> None:
    source = written(tmp_path / "a.tsv", "text\tlabel\ngood film\t1\n")
    with pytest.raises(ConfigError, match="is the source itself"):
        augment_file(source, source, SINGLE, augmenter())
    with pytest.raises(ConfigError, match="the source is tsv, so the target should have a suffix of tsv"):
        augment_file(source, tmp_path / "b.csv", SINGLE, augmenter())
    with pytest.raises(ConfigError, match="format 'parquet' cannot be written; expected one of tsv, csv, jsonl"):
        augment_file(source, tmp_path / "b.tsv", SINGLE, augmenter(), format="parquet")
    with pytest.raises(DataError, match="no column 'sentence'"):
        augment_file(source, tmp_path / "b.tsv", Columns(text="sentence"), augmenter())
    assert [path.name for path in tmp_path.iterdir()] == ["a.tsv"]


def test_a_real_file_keeps_every_row(tmp_path: Path) -> None:
    lines = shared_data("glue", "QQP", "train.tsv").read_text(encoding="utf-8").split("\n")[:301]
    source = written(tmp_path / "train.tsv", "\n".join(lines) + "\n")
    vectors = WordVectors.read(shared_data("word_vectors", "glove_mini_50d.txt"))
    task = glue_task("qqp")
    augment_file(source, tmp_path / "b.tsv", task.columns, Augmenter(Augmentation(variants=3), vectors=vectors))
    before, after = content(task.read(source)), content(task.read(tmp_path / "b.tsv"))
    assert len(before) == 300
    assert set(before) <= set(after)
    assert 300 < len(after) <= 300 * 7
    texts = {(one, label) for one, _, label in before}, {(two, label) for _, two, label in before}
    assert all((one, label) in texts[0] or (two, label) in texts[1] for one, two, label in after)
