"""`plm finetune` reads options, and what it writes `plm predict` and `plm train` read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from plm.cli.finetune import read_options
from plm.errors import ConfigError
from plm.training import TrainingReport
from tests.cli.conftest import Plm
from tests.tiny_folders import tiny_folder, write_rows

ROWS = [["stars", "review"], *([["5", "the good film"], ["1", "the bad film"]] * 8)]


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return write_rows(tmp_path / "train.tsv", ROWS), write_rows(tmp_path / "dev.tsv", ROWS[:5])


def test_from_files_to_predictions(plm: Plm, files: tuple[Path, Path], tmp_path: Path) -> None:
    start = tiny_folder(tmp_path / "start", "bert")
    options = (
        "--train",
        files[0],
        "--dev",
        files[1],
        "--output",
        tmp_path / "out",
        "--text",
        "review",
        "--label",
        "stars",
    )
    result = plm(
        "finetune", start, *options, "--epochs", 1, "--batch-size", 4, "--set", "training.log_every=1", "--json"
    )
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["training"]["updates"] == 4
    assert len((tmp_path / "out" / "train_log.jsonl").read_text().splitlines()) == 5
    answer = json.loads(plm("predict", tmp_path / "out", "the good film").stdout)
    assert answer["label"] in ("1", "5")
    again = plm("train", tmp_path / "out" / "run.json", "--set", f"output_dir={tmp_path / 'again'}")
    assert again.exit_code == 0, again.stderr
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("out", "again")]
    assert weights[0] == weights[1]


def test_an_interrupted_training_ends_with_130_after_saving(
    plm: Plm, files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted:
        training = TrainingReport("interrupted", 1, 0.5, 0, {}, (), 1.0, 10, 10.0)

        def lines(self) -> list[str]:
            return ["saved"]

        def to_dict(self) -> dict[str, object]:
            return {}

    monkeypatch.setattr("plm.cli.train.train", lambda config, overwrite: Interrupted())
    result = plm("finetune", "x", "--train", files[0], "--dev", files[1], "--output", tmp_path / "out")
    assert (result.exit_code, result.stdout) == (130, "saved\n")


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"task.train": None}, "train"),
        ({"training.learing_rate": 1.0}, "did you mean 'learning_rate'"),
        ({"task.batch_sise": 1}, "did you mean 'batch_size'"),
        ({"training.learning_rate": -1.0}, "learning_rate"),
        ({"task.batch_size": 0}, "batch_size"),
        ({"task.problem_type": "ranking"}, "problem_type"),
        ({"tusk.train": "t"}, "did you mean 'task'"),
    ],
)
def test_mistakes_name_the_field(options: dict[str, object], word: str) -> None:
    full = {"model": "m", "task.train": "t", "task.dev": "d", "output_dir": "o", **options}
    with pytest.raises(ConfigError, match=word):
        read_options({name: value for name, value in full.items() if value is not None})
