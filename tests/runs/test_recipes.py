"""Every recipe of the package is a valid run, and those of GLUE are the tasks that the package knows."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest

from plm.data.glue import GLUE_TASKS
from plm.runs import RunConfig, read_run
from plm.tasks.glue import glue_task

FOLDER = Path(str(resources.files("plm.configs"))) / "runs"
RECIPES = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.toml"))


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_a_valid_run_and_survives_writing(name: str) -> None:
    run = read_run(FOLDER / name)
    assert RunConfig.from_dict(run.to_dict()) == run


@pytest.mark.parametrize("name", list(GLUE_TASKS))
def test_glue_recipes_are_the_tasks_of_the_package(name: str) -> None:
    assert read_run(FOLDER / "glue" / f"{name}.toml").all_tasks["task"].task == glue_task(name)
