"""The example that distils: a table of texts in, a teacher, a smaller student that answers like it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import plm
from tests.examples.running import run_example
from tests.runs import distillations as data

SMALL = ("--max-length", "16", "--hidden-size", "8", "--layers", "1", "--epochs", "30", "--learning-rate", "1e-2")


@pytest.fixture(scope="module")
def mood(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tables, word vectors and a teacher."""
    folder = tmp_path_factory.mktemp("mood")
    data.trained_teacher(folder, data.classification(folder))
    (folder / "vectors.txt").write_text(data.VECTORS)
    return folder


def run(mood: Path, output: Path, *options: str | Path) -> dict[str, Any]:
    """What the example writes about a student of the teacher of moods."""
    files = (mood / "train.tsv", mood / "dev.tsv")
    run_example("distill_tinybert", *files, "--teacher", mood / "teacher", *SMALL, "--output", output, *options)
    told: dict[str, Any] = json.loads((output / "student" / "metrics.json").read_text())
    return told


@pytest.mark.parametrize("has_vectors", [False, True])
def test_a_student_learns_from_texts_with_other_words(
    has_vectors: bool, mood: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options: list[str | Path] = ["--vectors", mood / "vectors.txt"] if has_vectors else []
    told = run(mood, tmp_path, *options)
    assert list(told["stages"]) == ["augment", "intermediate", "prediction"]
    assert told["stages"]["augment"]["rows_written"] > told["stages"]["augment"]["rows_read"]
    assert told["stages"]["intermediate"]["skipped"] == {}
    assert told["kept"]["dev accuracy"] >= 0.9
    assert (tmp_path / "vectors.txt").exists() is not has_vectors
    printed = capsys.readouterr().out
    assert "| parameters | 5,634 |" in printed
    assert printed.splitlines()[-1].split()[0] in ("good", "bad")


def test_augmentation_can_be_left_out(mood: Path, tmp_path: Path) -> None:
    assert list(run(mood, tmp_path, "--variants", "0", "--epochs", "1")["stages"]) == ["intermediate", "prediction"]


def test_without_a_teacher_one_is_fine_tuned(mood: Path, tmp_path: Path) -> None:
    files = (mood / "train.tsv", mood / "dev.tsv")
    options = ("--hidden-size", "24", "--max-length", "8", "--variants", "0", "--epochs", "0.5")
    run_example("distill_tinybert", *files, *options, "--output", tmp_path)
    assert plm.AutoConfig.from_pretrained(tmp_path / "teacher").num_hidden_layers == 2
    assert plm.AutoConfig.from_pretrained(tmp_path / "student").num_attention_heads == 12
