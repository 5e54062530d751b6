"""`plm train` runs a recipe, with other values, over seeds and grids."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Plm
from tests.tiny_folders import tiny_folder, write_rows

ROWS = [["label", "text"], *([["5", "the good film"], ["1", "the bad film"]] * 8)]


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    files = [write_rows(tmp_path / f"{name}.tsv", ROWS) for name in ("train", "dev")]
    tiny_folder(tmp_path / "start", "bert")
    path = tmp_path / "run.toml"
    path.write_text(
        f"""
model = "{tmp_path / "start"}"
output_dir = "{tmp_path / "out"}"

[task]
kind = "classification"
train = "{files[0]}"
dev = "{files[1]}"
batch_size = 4

[training]
max_steps = 2
"""
    )
    return path


def test_a_recipe_is_trained_and_values_win_over_it(plm: Plm, recipe: Path, tmp_path: Path) -> None:
    result = plm("train", recipe, "--set", "training.lr=1e-3", "--set", "training.max_steps=3", "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["training"]["updates"] == 3
    written = json.loads((tmp_path / "out" / "run.json").read_text())
    assert written["training"]["learning_rate"] == 1e-3
    assert written["task"]["batch_size"] == 4


def test_a_setting_wins_under_whichever_of_its_names(plm: Plm, recipe: Path, tmp_path: Path) -> None:
    recipe.write_text(recipe.read_text() + "learning_rate = 5e-5\n")
    result = plm("train", recipe, "--set", "training.lr=1e-3", "--set", "training.max_steps=1")
    assert result.exit_code == 0, result.stderr
    written = json.loads((tmp_path / "out" / "run.json").read_text())
    assert written["training"]["learning_rate"] == 1e-3


def test_a_grid_over_seeds_gives_a_table_and_a_folder_for_each_run(plm: Plm, recipe: Path, tmp_path: Path) -> None:
    result = plm("train", recipe, "--grid", "training.learning_rate=1e-3,1e-4", "--seeds", "1,2", "--json")
    assert result.exit_code == 0, result.stderr
    rows = json.loads(result.stdout)["rows"]
    assert [row["settings"] for row in rows] == [{"training.learning_rate": 1e-3}, {"training.learning_rate": 1e-4}]
    assert all(len(row["metrics"]["accuracy"]) == 2 for row in rows)
    folders = {path.name for path in (tmp_path / "out").iterdir() if path.is_dir()}
    assert folders == {f"learning_rate-{rate}_seed-{seed}" for rate in (0.001, 0.0001) for seed in (1, 2)}
    assert "±" in (tmp_path / "out" / "sweep.md").read_text(encoding="utf-8")


def test_a_wrong_grid_fails_before_anything_runs(plm: Plm, recipe: Path, tmp_path: Path) -> None:
    result = plm("train", recipe, "--grid", "training.learing_rate=1,2")
    assert result.exit_code == 1
    assert "did you mean 'learning_rate'" in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_sweep_that_would_fail_in_its_middle_does_not_begin(plm: Plm, recipe: Path, tmp_path: Path) -> None:
    twice = plm("train", recipe, "--seeds", "1,1")
    assert (twice.exit_code, "two runs of the sweep would write into" in twice.stderr) == (1, True)
    (tmp_path / "out" / "seed-2").mkdir(parents=True)
    (tmp_path / "out" / "seed-2" / "notes.txt").write_text("kept")
    result = plm("train", recipe, "--seeds", "1,2")
    assert (result.exit_code, "seed-2: holds files already" in result.stderr) == (1, True)
    assert not (tmp_path / "out" / "seed-1").exists()


def test_resuming_without_a_checkpoint_does_not_replace_results(plm: Plm, recipe: Path, tmp_path: Path) -> None:
    assert plm("train", recipe, "--resume").exit_code == 0
    before = (tmp_path / "out" / "model.safetensors").read_bytes()
    result = plm("train", recipe, "--resume", "--set", "training.lr=1e-2")
    assert (result.exit_code, "has no checkpoint to go on from" in result.stderr) == (1, True)
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == before


def test_a_device_that_is_not_there_is_an_error_in_one_line(plm: Plm, recipe: Path) -> None:
    result = plm("train", recipe, "--set", "device=gpu")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: device: 'gpu' cannot be used: ")
    assert result.stderr.count("\n") == 1
