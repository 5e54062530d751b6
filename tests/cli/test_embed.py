"""`plm embed`: a vector for every row, and what the options of bulk work say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import plm as package
from tests.cli.conftest import Plm
from tests.tiny_folders import write_rows

TEXTS = ["the good film", "a very bad day", "rain"]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "texts.tsv", [["key", "body"], *([f"k{i}", text] for i, text in enumerate(TEXTS))])


def test_vectors_are_a_matrix_that_can_be_mapped(plm: Plm, classifier: Path, table: Path, tmp_path: Path) -> None:
    output = tmp_path / "vectors.npy"
    result = plm("embed", classifier, "--file", table, "--text", "body", "--output", output, "--normalize")
    assert (result.exit_code, result.stdout) == (0, "")
    assert f"{output}: 3 rows, " in result.stderr
    expected = np.stack(package.pipeline("sentence-embedding", classifier)(TEXTS))
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(np.load(output, mmap_mode="r"), expected, atol=1e-6)


def test_rows_have_names_and_any_format(plm: Plm, classifier: Path, table: Path, tmp_path: Path) -> None:
    options = ("--file", table, "--text", "body", "--id", "key", "--pooling", "cls", "--part-rows", 2)
    plm("embed", classifier, *options, "--output", tmp_path / "out", "--to", "jsonl")
    found = [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]
    states = package.pipeline("feature-extraction", classifier)(TEXTS)
    assert [row["id"] for row in found] == ["k0", "k1", "k2"]
    np.testing.assert_allclose([row["embedding"] for row in found], [state[0] for state in states], atol=1e-6)


def test_an_output_that_is_there_stays_until_overwrite(plm: Plm, classifier: Path, table: Path, tmp_path: Path) -> None:
    command = ("embed", classifier, "--file", table, "--text", "body", "--output", tmp_path / "out.npy")
    assert plm(*command).exit_code == 0
    again = plm(*command, "--max-length", 3)
    assert again.exit_code == 1
    assert "is there already" in again.stderr
    assert plm(*command, "--max-length", 3, "--overwrite").exit_code == 0


def test_bad_rows_end_the_work_or_are_listed(plm: Plm, classifier: Path, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.tsv", [["text"], ["good"], ["a", "tab"], ["bad"]])
    command = ("embed", classifier, "--file", path, "--output", tmp_path / "out.jsonl")
    ended = plm(*command)
    assert ended.exit_code == 1
    assert "a.tsv, line 3: expected 1 columns (text), got 2" in ended.stderr
    skipped = plm(*command, "--bad-rows", "skip")
    assert "2 rows" in skipped.stderr
    assert "1 refused" in skipped.stderr
    assert json.loads((tmp_path / "out.jsonl.refused.jsonl").read_text())["line"] == 3


def test_options_that_contradict_each_other_are_refused(
    plm: Plm, classifier: Path, table: Path, tmp_path: Path
) -> None:
    command = ("embed", classifier, "--file", table, "--text", "body", "--output", tmp_path / "out.npy")
    assert "--workers belongs to --engine local" in plm(*command, "--engine", "ray", "--workers", 2).stderr
    assert "--ray-address to --engine ray" in plm(*command, "--ray-address", "10.0.0.1:6379").stderr


def test_predict_takes_them_for_tables_and_nothing_else(
    plm: Plm, classifier: Path, table: Path, tmp_path: Path
) -> None:
    command = ("predict", classifier, "--file", table, "--text", "body")
    result = plm(*command, "--output", tmp_path / "out.tsv", "--part-rows", 2)
    assert (result.exit_code, result.stdout) == (0, "")
    assert (tmp_path / "out.tsv").read_text() == plm(*command, "--to", "tsv").stdout.replace("\nk", "\n")
    assert "--part-rows says nothing here" in plm(*command, "--part-rows", 2).stderr
    assert "--to npy belongs to" in plm(*command, "--to", "npy").stderr
    assert "--workers says nothing here" in plm("predict", classifier, "rain", "--workers", 2).stderr
