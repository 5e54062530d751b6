"""What the settings ask of a task and it does not have is refused before an update is made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from plm.errors import ConfigError
from plm.runs import RunConfig, train
from plm.runs.report import finite
from tests.tiny_folders import tiny_folder, write_rows

TAGGED = "the O\nsun B-sky\n\nold O\nrain B-sky\n\n"


@pytest.fixture
def tables(tmp_path: Path) -> dict[str, Any]:
    """Tables of a recipe: two kinds of task, on tiny files."""
    tiny_folder(tmp_path / "start", "bert")
    texts = write_rows(tmp_path / "texts.tsv", [("label", "text"), ("a", "the sun"), ("b", "the rain")])
    (tmp_path / "tags.conll").write_text(TAGGED)
    return {
        "classes": {"kind": "classification", "train": str(texts), "dev": str(texts)},
        "tags": {"kind": "tagging", "train": f"{tmp_path}/tags.conll", "dev": f"{tmp_path}/tags.conll"},
    }


def run(tmp_path: Path, training: dict[str, Any], **tasks: Any) -> None:
    what = {"task": tasks["task"]} if "task" in tasks else {"tasks": tasks}
    values = {"model": f"{tmp_path}/start", "output_dir": f"{tmp_path}/out", "log_to": [], "device": "cpu"}
    train(RunConfig.from_dict(values | what | {"training": {"max_steps": 1, **training}}))


@pytest.mark.parametrize(
    ("kind", "training", "message"),
    [
        ("classes", {"class_weights": [1, 2, 3]}, "class_weights: expected 2 numbers, for a, b, got 3"),
        ("tags", {"class_weights": [1]}, "class_weights: expected 2 numbers, for O, B-sky, got 1"),
        (
            "classes",
            {"metric_for_best": "acuracy"},
            "no metric 'acuracy'; did you mean 'accuracy'.*there are: accuracy",
        ),
        ("tags", {"metric_for_best": "f1"}, "metric_for_best: no metric 'f1'.*entity_f1"),
    ],
)
def test_it_is_named_and_nothing_is_written(
    kind: str, training: dict[str, Any], message: str, tmp_path: Path, tables: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError, match=message):
        run(tmp_path, training, task=tables[kind])
    assert not (tmp_path / "out").exists()


def test_among_several_tasks_the_one_that_does_not_fit_is_named(tmp_path: Path, tables: dict[str, Any]) -> None:
    tables["tags"]["decoder"] = "crf"
    with pytest.raises(ConfigError, match=r"tasks\.tags: label_smoothing: only for heads that decide"):
        run(tmp_path, {"label_smoothing": 0.1}, **tables)


def test_tags_can_be_balanced(tmp_path: Path, tables: dict[str, Any]) -> None:
    run(tmp_path, {"class_weights": "balanced", "metric_for_best": "token_accuracy"}, task=tables["tags"])
    assert (tmp_path / "out" / "metrics.json").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tasks": {"classes": 3}}, "tasks.classes: expected a table, got 3"),
        ({"tasks": {"task": {}}}, "'task' is what the task of a run with one is called"),
        ({"tasks": {"more": {"shared_head": "classes", "learning_rate": 1e-3}}}, "its head is that of 'classes'"),
        ({"output_dir": " "}, "output_dir: expected a name, got ' '"),
    ],
)
def test_recipes_that_cannot_be_meant_are_refused(
    changes: dict[str, Any], message: str, tables: dict[str, Any]
) -> None:
    values: dict[str, Any] = {"model": "m", "output_dir": "o", **changes}
    given = {name: t | tables["classes"] if isinstance(t, dict) else t for name, t in changes.get("tasks", {}).items()}
    values["tasks"] = {"classes": tables["classes"], **given}
    with pytest.raises(ConfigError, match=message):
        RunConfig.from_dict(values)


def test_json_gets_none_where_a_number_is_not_finite() -> None:
    values = {"loss": float("nan"), "all": (float("inf"), 1.0), "name": "x"}
    assert finite(values) == {"loss": None, "all": [None, 1.0], "name": "x"}
