"""`plm finetune` reads options and recipes, and what it writes `plm predict` reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from plm.cli.finetune import read_config
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
    result = plm("finetune", start, *options, "--epochs", 1, "--batch-size", 4, "--set", "log_every=1", "--json")
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["labels"] == ["1", "5"]
    assert report["training"]["updates"] == 4
    assert len((tmp_path / "out" / "train_log.jsonl").read_text().splitlines()) == 5
    answer = json.loads(plm("predict", tmp_path / "out", "the good film").stdout)
    assert answer["label"] in ("1", "5")
    again = plm("finetune", "--recipe", tmp_path / "out" / "finetune.json", "--output", tmp_path / "again")
    assert again.exit_code == 0, again.stderr
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("out", "again")]
    assert weights[0] == weights[1]


def test_an_interrupted_training_ends_with_130_after_saving(
    plm: Plm, files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted:
        labels = ("1", "5")
        training = TrainingReport("interrupted", 1, 0.5, 0, {}, (), 1.0, 10, 10.0)

        def lines(self) -> list[str]:
            return ["saved"]

        def to_dict(self) -> dict[str, object]:
            return {}

    monkeypatch.setattr("plm.cli.finetune.finetune_classifier", lambda config, overwrite: Interrupted())
    result = plm("finetune", "x", "--train", files[0], "--dev", files[1], "--output", tmp_path / "out")
    assert (result.exit_code, result.stdout) == (130, "saved\n")


def test_options_win_over_a_recipe(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(
        'model = "a"\ntrain_file = "t.tsv"\ndev_file = "d.tsv"\noutput_dir = "o"\nbatch_size = 8\n'
        "[training]\nlearning_rate = 1e-3\nseed = 7\n"
    )
    config = read_config(tmp_path / "r.toml", {"seed": 8, "text": "0", "pair": "premise", "batch_size": 16})
    assert (config.model, config.batch_size, config.text, config.pair) == ("a", 16, 0, "premise")
    assert (config.training.learning_rate, config.training.seed) == (1e-3, 8)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"model": "m"}, "train_file"),
        ({"learing_rate": 1.0}, "did you mean 'learning_rate'"),
        ({"batch_sise": 1}, "did you mean 'batch_size'"),
        ({"learning_rate": -1.0}, "learning_rate"),
        ({"batch_size": 0}, "batch_size"),
        ({"problem_type": "ranking"}, "problem_type"),
    ],
)
def test_mistakes_name_the_field(options: dict[str, object], word: str) -> None:
    full = {"model": "m", "train_file": "t", "dev_file": "d", "output_dir": "o"} if "model" not in options else {}
    with pytest.raises(ConfigError, match=word):
        read_config(None, {**full, **options})
