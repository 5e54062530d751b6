"""A whole distillation: one table that a recipe file can hold."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from plm.config import from_dict
from plm.errors import ConfigError
from plm.runs.config import LogKind, TaskData, read_tables
from plm.runs.distilling.options import GENERAL, INNER, OUTER, General, LatencyOptions, Stage, Variation
from plm.training import TrainingConfig

STAGES = ("general", "augment", "intermediate", "prediction")
"""In their order."""


@dataclass(frozen=True, kw_only=True)
class DistillationConfig:
    """A student, its teacher, and the stages in which it learns.

    teacher: a checkpoint with a head for the task, such as `plm train` writes; for general distillation alone, any.
    student: the config file of an architecture, "tinybert-4l-312.json", for a start from random weights: a file, or one
        of those in plm.configs; its vocabulary is the teacher's. Or a checkpoint with the teacher's vocabulary.
    output_dir: the folder to write; the folder of each stage is in it.
    general: the stage of general distillation; None = the student has it behind it, or does without.
    task: as in a RunConfig; labels, and their order, are the teacher's. None = general distillation alone.
    augmentation: how the training file is augmented; None = not at all.
    intermediate, prediction: the two stages of task distillation; None = leave it out, in a recipe: false.
    latency: how the time of a text is measured.
    seed: of everything random. device: None = the GPU if there is one. workers, feature_cache, log_to: as in RunConfig.
    teacher_cache: folder for what the teacher answers to the training file, which may serve many distillations: the
        stage of predictions asks it once; None = it is asked in every pass.
    """

    teacher: str
    student: str
    output_dir: str
    general: General | None = None
    task: TaskData | None = None
    augmentation: Variation | None = None
    intermediate: Stage | None = INNER
    prediction: Stage | None = OUTER
    latency: LatencyOptions = field(default_factory=LatencyOptions)
    seed: int = 42
    device: str | None = None
    workers: int = 0
    feature_cache: str | None = None
    teacher_cache: str | None = None
    log_to: tuple[LogKind, ...] = ("jsonl", "curve")

    def __post_init__(self) -> None:
        for name in ("teacher", "student", "output_dir"):
            if not getattr(self, name).strip():
                raise ConfigError(f"{name}: expected a name, got {getattr(self, name)!r}")
        if self.seed < 0 or self.workers < 0:
            raise ConfigError(f"seed, workers: expected 0 or more, got {self.seed} and {self.workers}")
        if self.task is None and self.augmentation is not None:
            raise ConfigError("augmentation: there is no [task] whose file could be augmented")
        if self.task is not None and self.task != TaskData(task=self.task.task, **_files(self.task)):
            raise ConfigError(
                "task: takes its files, max_length, and the fields of its kind; batch_size, tokens_per_batch and "
                "bucket_batches belong to the stages, the rest to runs of several tasks"
            )
        if not self.stages:
            raise ConfigError("a distillation needs [general], or a [task] with an intermediate or a prediction stage")
        for name in ("intermediate", "prediction"):
            stage = getattr(self, name)
            if self.augmentation is None and stage is not None and stage.augmented:
                raise ConfigError(f"{name}: augmented: there is no [augmentation] to learn from")
        if self.augmentation is not None and not {"intermediate", "prediction"} & set(self.stages):
            raise ConfigError("augmentation: there is no stage that could learn from it")

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the stages that there are, in their order."""
        by_task = self.task is not None
        there = {
            "general": self.general is not None,
            "augment": self.augmentation is not None,
            "intermediate": by_task and self.intermediate is not None,
            "prediction": by_task and self.prediction is not None,
        }
        return tuple(name for name in STAGES if there[name])

    def uses_augmented(self, name: str) -> bool:
        """True = this stage learns from the augmented file."""
        stage = {"intermediate": self.intermediate, "prediction": self.prediction}[name]
        if self.augmentation is None or self.task is None or stage is None:
            return False
        is_number = getattr(self.task.task, "problem_type", None) == "regression"
        return not (name == "prediction" and is_number) if stage.augmented is None else stage.augmented

    def training(self, stage: Stage) -> TrainingConfig:
        """The settings that a Trainer gets for a stage."""
        return dataclasses.replace(stage.training, seed=self.seed, resume="auto")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, source: str = "config") -> DistillationConfig:
        """From nested tables, as in a recipe file: [general], [task], [augmentation], [intermediate], [prediction],
        [latency]; settings in [training] are for all stages that do not say otherwise.

        Raises ConfigError naming the field that is missing, unknown or of a wrong type.
        """
        values = {name: value for name, value in values.items() if value is not None}
        for name in ("general", "task", "augmentation", "intermediate", "prediction", "latency", "training"):
            can_be_left_out = name in ("intermediate", "prediction") and values.get(name) is False
            if not isinstance(values.get(name, {}), Mapping) and not can_be_left_out:
                raise ConfigError(f"{source}: {name}: expected a table, got {values[name]!r:.60}")
        shared = values.pop("training", {})
        usual = {name: stage.changed(shared, source=f"{source}: training") for name, stage in _USUAL.items()}
        for name in ("intermediate", "prediction"):
            own = values.get(name, {})
            values[name] = None if own is False else usual[name].changed(own, source=f"{source}: {name}")
        if "general" in values:
            values["general"] = General.from_dict(
                values["general"], usual=usual["general"], source=f"{source}: general"
            )
        for name, table in (("task", TaskData), ("augmentation", Variation)):
            if name in values:
                values[name] = table.from_dict(values[name], source=f"{source}: {name}")
        return from_dict(cls, values, source=source)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values that `from_dict` reads back to an equal config."""
        values = {option.name: getattr(self, option.name) for option in dataclasses.fields(self)}
        for name in ("general", "task", "augmentation", "intermediate", "prediction"):
            if values[name] is not None:
                values[name] = values[name].to_dict()
            elif name in ("intermediate", "prediction"):
                values[name] = False
        for name in ("batch_size", "bucket_batches", "loss_weight", "auxiliary") if self.task is not None else ():
            del values["task"][name]
        values["latency"] = dataclasses.asdict(self.latency)
        plain: dict[str, Any] = json.loads(json.dumps(values))
        return plain


_USUAL: Mapping[str, Stage] = {"general": GENERAL, "intermediate": INNER, "prediction": OUTER}


def read_distillation(path: Path | str, settings: Mapping[str, Any] | None = None) -> DistillationConfig:
    """The distillation of a TOML or JSON file.

    settings: values by dotted name ("prediction.learning_rate") that win over the file.
    """
    return DistillationConfig.from_dict(read_tables(path, settings), source=str(path))


def _files(data: TaskData) -> dict[str, Any]:
    return {name: getattr(data, name) for name in ("train", "dev", "test", "max_length")}
