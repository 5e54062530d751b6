"""Recipes of distillation: what they may say, and that those of the package are valid."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from plm.distillation.augmentation import VARIANTS
from plm.errors import ConfigError
from plm.runs import read_run
from plm.runs.config import with_settings
from plm.runs.distilling import DistillationConfig, read_distillation
from plm.runs.distilling.options import GENERAL, INNER, OUTER

CONFIGS = Path(str(resources.files("plm.configs")))
RECIPES = sorted(path.stem for path in (CONFIGS / "distillation").glob("*.toml"))
EPOCHS = {"sst-2": 10, "cola": 50, "mrpc": 20, "qqp": 5, "sts-b": 20, "mnli": 5, "qnli": 10, "rte": 20}
TASK = {"kind": "classification", "train": "t.tsv", "dev": "d.tsv"}
LEAST: dict[str, Any] = {"teacher": "big", "student": "tinybert-4l-312.json", "output_dir": "out", "task": TASK}


def config(**changes: Any) -> DistillationConfig:
    """LEAST with values by dotted name, __ for dots."""
    settings = {name.replace("__", "."): value for name, value in changes.items()}
    return DistillationConfig.from_dict(with_settings(LEAST, settings))


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_valid_and_survives_writing(name: str) -> None:
    recipe = read_distillation(CONFIGS / "distillation" / f"{name}.toml")
    assert DistillationConfig.from_dict(recipe.to_dict()) == recipe


@pytest.mark.parametrize("name", list(EPOCHS))
def test_recipes_of_glue_have_what_the_upstream_tables_meant(name: str) -> None:
    recipe = read_distillation(CONFIGS / "distillation" / f"{name}.toml")
    teacher = read_run(CONFIGS / "runs" / "glue" / f"{name}.toml")
    assert recipe.task is not None
    assert recipe.augmentation is not None
    assert recipe.intermediate is not None
    assert recipe.intermediate.training.num_train_epochs == EPOCHS[name]
    assert recipe.augmentation.settings.variants == VARIANTS[name]
    assert recipe.task.max_length == (64 if name in ("sst-2", "cola") else 128)
    assert recipe.teacher == teacher.output_dir
    assert teacher.task is not None
    assert (recipe.task.train, recipe.task.dev) == (teacher.task.train, teacher.task.dev)


def test_the_defaults_are_those_of_the_paper() -> None:
    assert (INNER.training.num_train_epochs, INNER.training.learning_rate, INNER.batch_size) == (20, 5e-5, 32)
    assert INNER.training.lr_scheduler == "constant"
    assert (OUTER.training.num_train_epochs, OUTER.training.learning_rate) == (3, 3e-5)
    assert (GENERAL.training.num_train_epochs, GENERAL.batch_size) == (3, 256)
    assert config().stages == ("intermediate", "prediction")
    assert (config().intermediate, config().prediction) == (INNER, OUTER)


def test_shared_settings_stand_below_those_of_a_stage() -> None:
    made = config(training={"lr": 1e-3, "precision": "bf16"}, prediction={"learning_rate": 2e-3})
    assert made.intermediate is not None
    assert made.prediction is not None
    assert (made.intermediate.training.learning_rate, made.prediction.training.learning_rate) == (1e-3, 2e-3)
    assert made.prediction.training.precision == "bf16"
    assert made.training(made.prediction).seed == made.seed


def test_a_stage_can_be_left_out() -> None:
    assert config(intermediate=False).stages == ("prediction",)
    written = config(prediction=False)
    assert written.stages == ("intermediate",)
    assert DistillationConfig.from_dict(written.to_dict()) == written


def test_other_strategies_take_their_steps_along() -> None:
    general = config(general={"corpus": "c", "save_strategy": "epoch"}).general
    assert general is not None
    assert (general.stage.training.save_strategy, general.stage.training.save_steps) == ("epoch", None)


def test_numbers_are_predicted_from_the_file_as_it_is_unless_asked() -> None:
    augmentation = {"vectors": "v.txt"}
    for problem, expected in (("single_label_classification", True), ("regression", False)):
        made = config(augmentation=augmentation, task__problem_type=problem)
        assert (made.uses_augmented("intermediate"), made.uses_augmented("prediction")) == (True, expected)
    asked = config(augmentation=augmentation, task__problem_type="regression", prediction={"augmented": True})
    assert asked.uses_augmented("prediction")
    assert not config(augmentation=augmentation, intermediate={"augmented": False}).uses_augmented("intermediate")


def test_what_no_stage_can_do_is_refused() -> None:
    for changes, message in (
        ({"prediction__seed": 3}, "prediction: seed: is one for the whole distillation"),
        ({"training": {"resume": "auto"}}, "training: resume: a stage that was stopped always goes on"),
        ({"intermediate__keep": ["last"]}, "keep: a stage leaves its model"),
        ({"prediction__label_smoothing": 0.1}, "is for models that learn from labels alone"),
        ({"prediction": {"lr": 1.0, "learning_rate": 2.0}}, "given twice, under two names"),
        ({"task__batch_size": 16}, "belong to the stages"),
        ({"general": {"corpus": "c", "objective": {"prediction": 1.0}}}, "has no predictions and labels to learn"),
        ({"augmentation": {"vectors": "v", "seed": 3}}, "seed: is one for the whole"),
        ({"augmentation": {}}, "nothing to take words from"),
        ({"intermediate": False, "prediction": False}, "a distillation needs"),
        ({"intermediate": 3}, "intermediate: expected a table, got 3"),
        ({"prediction": {"augmented": True}}, "there is no .augmentation. to learn from"),
        ({"techer": "x"}, "did you mean 'teacher'"),
    ):
        with pytest.raises(ConfigError, match=message):
            config(**changes)
