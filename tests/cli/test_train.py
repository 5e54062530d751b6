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
