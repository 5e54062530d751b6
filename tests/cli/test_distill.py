"""`plm distill` runs a recipe stage by stage; `plm augment` varies one file. The texts were made up for these tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Plm
from tests.runs import distillations as data
from tests.tiny_folders import tiny_folder, write_rows


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A distillation of a teacher that knows nothing."""
    task = data.classification(tmp_path)
    teacher = tiny_folder(
        tmp_path / "teacher", "bert", "sequence_classification", id2label={0: "bad", 1: "good"}, **data.TEACHER
    )
    path = tmp_path / "recipe.toml"
    path.write_text(
        f"""
teacher = "{teacher}"
student = "{data.student_file(tmp_path)}"
output_dir = "{tmp_path / "out"}"
log_to = ["jsonl"]

[task]
kind = "classification"
train = "{task["train"]}"
dev = "{task["dev"]}"
max_length = 16

[intermediate]
num_train_epochs = 1
objective.layers = "top"

[prediction]
lr = 1e-3
num_train_epochs = 1

[latency]
repetitions = 1

[training]
weight_decay = 0.02
"""
    )
    return path


def told(result: Any) -> Any:
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_stages_can_be_run_one_by_one_and_values_win_over_the_recipe(plm: Plm, recipe: Path, tmp_path: Path) -> None:
    first = told(plm("distill", recipe, "--stage", "intermediate", "--set", "intermediate.batch_size=16", "--json"))
    assert (list(first["stages"]), first["student"]) == (["intermediate"], None)
    refused = plm("distill", recipe)
    assert (refused.exit_code, "stage.batch_size: 16 -> 32" in refused.stderr) == (1, True)
    result = plm("distill", recipe, "--set", "intermediate.batch_size=16")
    assert result.exit_code == 0, result.stderr
    assert "| parameters | 5,634 | 1,130 | 5.0 times less |" in result.stdout
    written = json.loads((tmp_path / "out" / "run.json").read_text())
    assert written["intermediate"]["objective"]["layers"] == "top"
    assert (written["prediction"]["learning_rate"], written["prediction"]["weight_decay"]) == (1e-3, 0.02)
    again = plm("distill", tmp_path / "out" / "run.json", "--json")
    assert told(again)["stages"]["prediction"]["updates"] == 2
    answered = plm("predict", tmp_path / "out", "--file", tmp_path / "dev.tsv")
    assert (answered.exit_code, answered.stdout.count("\n")) == (0, 32)


def test_parts_are_left_out_by_name(plm: Plm, recipe: Path, tmp_path: Path) -> None:
    result = plm("distill", recipe, "--ablate", "attention,prediction")
    assert result.exit_code == 0, result.stderr
    assert "| without attention |" in result.stdout
    assert (tmp_path / "out" / "ablation" / "without-prediction" / "model.safetensors").exists()
    refused = plm("distill", recipe, "--ablate", "general")
    assert "the recipe has no general" in refused.stderr


def test_a_wrong_value_is_an_error_in_one_line(plm: Plm, recipe: Path) -> None:
    for setting, message in (
        ("intermediate.seed=3", "seed: is one for the whole distillation: set it on top"),
        ("prediction.objective.temprature=2", "did you mean 'temperature'"),
        ("task.batch_size=4", "belong to the stages"),
        ("augmentation.variants=4", "nothing to take words from"),
    ):
        result = plm("distill", recipe, "--set", setting)
        assert (result.exit_code, result.stderr.count("\n")) == (1, 1), result.stderr
        assert message in result.stderr


def test_one_file_is_augmented(plm: Plm, tmp_path: Path) -> None:
    source = write_rows(tmp_path / "in.tsv", [("label", "text"), ("good", "the old film"), ("bad", "a red day")])
    (tmp_path / "vectors.txt").write_text(data.VECTORS)
    arguments = ("augment", source, tmp_path / "out.tsv", "--vectors", tmp_path / "vectors.txt")
    counts = told(plm(*arguments, "--variants", "3", "--candidates", "2", "--probability", "0.9", "--json"))
    lines = (tmp_path / "out.tsv").read_text().splitlines()
    assert counts == {"rows_read": 2, "rows_written": len(lines) - 1, "added": {"text": len(lines) - 3}}
    assert lines[:2] == ["label\ttext", "good\tthe old film"]
    assert len(lines) > 4
    assert {line.split("\t")[0] for line in lines[1:]} == {"good", "bad"}
    other = plm(*arguments, "--seed", "7", "--glue", "sst-2", "--text", "text")
    assert "--glue: names the columns" in other.stderr
    assert "nothing to take words from" in plm("augment", source, tmp_path / "none.tsv").stderr
