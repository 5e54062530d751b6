"""Answers and vectors in every format: the same in all of them, with types that programs can use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import plm
from plm.bulk import Effort, Embed, Predict, Table, answer_file
from plm.data import Columns
from plm.errors import ConfigError
from tests.bulk.conftest import TEXT, Write, rows
from tests.tiny_folders import tiny_folder, write_rows


def test_outputs_hold_the_same(tmp_path: Path, classifier: Path, texts: list[str], json_lines: Write) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    table, job, effort = Table(json_lines(texts), TEXT), Predict(model=classifier), Effort(rows=30)
    for name in ("out.jsonl", "out.tsv", "out.parquet"):
        answer_file(table, job, tmp_path / name, effort=effort)
    expected = rows(tmp_path / "out.jsonl")
    assert parquet.read_table(tmp_path / "out.parquet").to_pylist() == expected
    header, *lines = (tmp_path / "out.tsv").read_text().splitlines()
    assert header == "id\ttext\tlabel\tscore"
    assert [line.split("\t")[:3] for line in lines] == [[row["id"], row["text"], row["label"]] for row in expected]
    again = answer_file(Table(tmp_path / "out.parquet", TEXT), job, tmp_path / "again.jsonl", effort=effort)
    assert again.rows == 100
    assert rows(tmp_path / "again.jsonl") == expected


@pytest.mark.parametrize(("pooling", "normalize"), [("mean", False), ("mean", True), ("cls", False)])
def test_embeddings_are_pooled_states(
    tmp_path: Path, classifier: Path, texts: list[str], json_lines: Write, pooling: str, normalize: bool
) -> None:
    table, job = Table(json_lines(texts), TEXT), Embed(model=classifier, pooling=pooling, normalize=normalize)
    for name in ("out.npy", "out.jsonl"):
        answer_file(table, job, tmp_path / name, effort=Effort(rows=30))
    states = plm.pipeline("feature-extraction", classifier)(texts)
    expected = np.array([state.mean(0) if pooling == "mean" else state[0] for state in states])
    if normalize:
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    mapped = np.load(tmp_path / "out.npy", mmap_mode="r")
    assert (mapped.dtype, mapped.shape) == (np.float32, (100, 12))
    np.testing.assert_allclose(mapped, expected, atol=1e-6)
    np.testing.assert_array_equal(mapped, np.float32([row["embedding"] for row in rows(tmp_path / "out.jsonl")]))


def test_vectors_of_parquet_have_a_fixed_size_and_those_of_npy_keep_their_row(
    tmp_path: Path, classifier: Path, json_lines: Write
) -> None:
    path = json_lines(["", "", "good", "", "bad"])
    effort = Effort(rows=2, refuse="skip")
    answer_file(Table(path, TEXT), Embed(model=classifier), tmp_path / "out.npy", effort=effort)
    matrix = np.load(tmp_path / "out.npy")
    assert np.isnan(matrix).all(axis=1).tolist() == [True, True, False, True, False]
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    answer_file(Table(path, TEXT), Embed(model=classifier), tmp_path / "out.parquet", effort=effort)
    table = parquet.read_table(tmp_path / "out.parquet")
    assert table.schema.field("embedding").type == arrow.list_(arrow.float32(), 12)
    assert table["id"].to_pylist() == ["3", "5"]
    np.testing.assert_array_equal(np.stack(table["embedding"].to_numpy()), matrix[[2, 4]])


def test_cls_needs_such_a_token_and_npy_needs_vectors(tmp_path: Path, classifier: Path, json_lines: Write) -> None:
    folder, path = tiny_folder(tmp_path / "gpt", "openai-gpt"), json_lines(["good"])
    with pytest.raises(ConfigError, match='has no token for "cls"'):
        answer_file(Table(path, TEXT), Embed(model=folder, pooling="cls"), tmp_path / "out.npy")
    with pytest.raises(ConfigError, match="npy holds one vector for each text"):
        answer_file(Table(path, TEXT), Predict(model=classifier), tmp_path / "out.npy")
    with pytest.raises(ConfigError, match="did you mean 'mean'"):
        Embed(model=folder, pooling="means")


@pytest.mark.parametrize("name", ["out.jsonl", "out.tsv", "out.parquet"])
def test_pairs_questions_and_entities(tmp_path: Path, classifier: Path, name: str) -> None:
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    path = write_rows(
        tmp_path / "q.tsv", [["q", "c"], ["the sun", "old red book"], ["rain", "bad film"], ["day", "sun"]]
    )
    pairs = [("the sun", "old red book"), ("rain", "bad film"), ("day", "sun")]
    labels = {0: "O", 1: "B-X", 2: "I-X"}
    models = {
        "question-answering": tiny_folder(tmp_path / "qa", "bert", "question_answering"),
        "ner": tiny_folder(tmp_path / "ner", "bert", "token_classification", id2label=labels),
        "text-classification": classifier,
    }
    for task, model in models.items():
        columns = Columns(text="q", pair=None if task == "ner" else "c")
        asked: Any = [text for text, _ in pairs] if task == "ner" else pairs
        expected = plm.pipeline(task, model)(asked)
        answer_file(
            Table(path, columns),
            Predict(model=model, task=task),
            tmp_path / name,
            effort=Effort(rows=1, overwrite=True),
        )
        for row, answer in zip(read_any(tmp_path / name), expected, strict=True):
            told = {"entities": answer} if task == "ner" else answer
            for key, value in told.items():
                assert row[key] == (pytest.approx(value, abs=1e-6) if isinstance(value, float) else approximate(value))


def approximate(value: Any) -> Any:
    """Entities, of which the scores are floats."""
    if isinstance(value, list):
        return [{**item, "score": pytest.approx(item["score"], abs=1e-6)} for item in value]
    return value


def read_any(path: Path) -> list[dict[str, Any]]:
    """Rows of any format."""
    if path.suffix == ".parquet":
        return list(pytest.importorskip("pyarrow.parquet").read_table(path).to_pylist())
    if path.suffix == ".jsonl":
        return rows(path)
    header, *lines = (line.split("\t") for line in path.read_text().splitlines())
    return [{name: decoded(cell) for name, cell in zip(header, line, strict=True)} for line in lines]


def decoded(cell: str) -> Any:
    """Texts as they are, anything else from JSON."""
    try:
        return json.loads(cell)
    except ValueError:
        return cell
