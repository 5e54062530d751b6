"""What a run trains, on what, and how: one table that a recipe file can hold."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from plm.blocks.lora import LoraConfig
from plm.config import from_dict, read_json, read_toml, require_positive
from plm.data import Batching
from plm.data.mixture import Mixing
from plm.errors import ConfigError
from plm.tasks import AnyTask
from plm.tasks.saving import task_from_dict, task_to_dict
from plm.training import TrainingConfig
from plm.training.config import OTHER_NAMES

LogKind = Literal["jsonl", "csv", "tensorboard", "curve"]

ONLY = "task"
"""Name of the task of a run that has one."""


@dataclass(frozen=True, kw_only=True)
class TaskData:
    """One task of a run: its kind and options, its files, its batches.

    train, dev, test: files or folders, as the task reads them; the best weights are those that do best on dev; test is
        scored once, with them.
    held_out: share of the examples of `train` that are kept for evaluation, in place of a dev file; a hash tells which,
        so that equal ones are on the same side. For tasks that know which are equal.
    max_length: tokens of a text; None = 128, or what the model takes if that is less.
    batch_size: features in a batch. tokens_per_batch: positions in a batch, in place of batch_size: as many texts of
        similar length as fit. bucket_batches: sort the features of so many batches by length before they are cut; 1 =
        batches are drawn without regard to length.

    Among several tasks:
    loss_weight: how much its loss counts. learning_rate: of its head; None = that of the run.
    auxiliary: True = it helps the others: needs no dev file, does not decide which weights are best, and an epoch is
        over when the others' examples are.
    shared_head: name of the task whose head it uses.
    """

    task: AnyTask
    train: str
    dev: str | None = None
    test: str | None = None
    held_out: float | None = None
    max_length: int | None = None
    batch_size: int = 32
    tokens_per_batch: int | None = None
    bucket_batches: int = 1
    loss_weight: float = 1.0
    learning_rate: float | None = None
    auxiliary: bool = False
    shared_head: str | None = None

    def __post_init__(self) -> None:
        require_positive(self, "batch_size", "bucket_batches")
        for name in ("loss_weight", "learning_rate"):
            value = getattr(self, name)
            if value is not None and not 0.0 < value < math.inf:
                raise ConfigError(f"{name}: expected a positive number, got {value}")
        if self.dev is None and self.held_out is None and not self.auxiliary:
            raise ConfigError("missing field 'dev': a file to evaluate on; only auxiliary tasks do without")
        if self.held_out is not None and (self.dev is not None or not 0.0 < self.held_out < 1.0):
            raise ConfigError(
                f"held_out: expected a share between 0 and 1, and no dev file, got {self.held_out} and {self.dev!r}"
            )
        for name in ("max_length", "tokens_per_batch"):
            if getattr(self, name) is not None:
                require_positive(self, name)
        if self.tokens_per_batch is not None and self.bucket_batches > 1:
            raise ConfigError("bucket_batches: batches by tokens_per_batch are made of similar lengths anyway")

    @property
    def batching(self) -> Batching:
        """How features become batches."""
        return Batching(
            batch_size=self.batch_size, tokens_per_batch=self.tokens_per_batch, bucket_batches=self.bucket_batches
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, source: str = "config") -> TaskData:
        """From one flat table: `kind`, a name in TASKS, the fields of that task, and the fields above.

        Raises ConfigError naming the field that is missing, unknown or of a wrong type.
        """
        task = task_from_dict(values, source=source, besides=_OWN)
        own = {name: value for name, value in values.items() if name in _OWN}
        return from_dict(cls, own | {"task": task}, source=source)

    def to_dict(self) -> dict[str, Any]:
        """The flat table that `from_dict` reads; what is None is left out."""
        own = {name: getattr(self, name) for name in _OWN}
        return task_to_dict(self.task) | {name: value for name, value in own.items() if value is not None}


_OWN = {option.name for option in dataclasses.fields(TaskData)} - {"task"}


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One training, of one task or of several at once.

    model: a checkpoint of any known layout: a folder, a file, a name on the hub.
    output_dir: the folder to write.
    task: what to learn; or tasks: several at once, each with a head of its name, and mixture: how often each comes.
    device: None = the GPU if there is one.
    workers: processes that encode texts; 0 = none. feature_cache: a folder that keeps what they made for the next run;
        None = keep nothing.
    log_to: what is written while it trains: train_log.jsonl, train_log.csv, a folder for TensorBoard, a picture of the
        curves (where matplotlib is installed).
    lora: train small adapters, and the heads, in place of all weights; None = all weights.
    training: everything else.
    """

    model: str
    output_dir: str
    task: TaskData | None = None
    tasks: Mapping[str, TaskData] = field(default_factory=dict)
    mixture: Mixing = field(default_factory=Mixing)
    device: str | None = None
    workers: int = 0
    feature_cache: str | None = None
    log_to: tuple[LogKind, ...] = ("jsonl", "curve")
    lora: LoraConfig | None = None
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def __post_init__(self) -> None:
        if (self.task is None) == (not self.tasks):
            raise ConfigError("a run needs a task, or several tasks by name, and not both")
        if self.task is not None and self.mixture != Mixing():
            raise ConfigError("mixture: a run of one task has nothing to mix")
        if self.task is not None and (self.task.auxiliary or self.task.shared_head or self.task.learning_rate):
            raise ConfigError("auxiliary, shared_head and learning_rate of a task are for runs of several tasks")
        self._check_tasks()
        for name in ("model", "output_dir"):
            if not getattr(self, name).strip():
                raise ConfigError(f"{name}: expected a name, got {getattr(self, name)!r}")
        if self.workers < 0:
            raise ConfigError(f"workers: expected 0 or more processes, got {self.workers}")

    def _check_tasks(self) -> None:
        if self.tasks and all(data.auxiliary for data in self.tasks.values()):
            raise ConfigError("tasks: all are auxiliary; one at least must say which weights are best")
        for name, data in self.tasks.items():
            if name == ONLY:
                raise ConfigError(f"tasks: {name!r} is what the task of a run with one is called; take another name")
            if data.shared_head is not None and data.learning_rate is not None:
                raise ConfigError(
                    f"tasks.{name}: learning_rate: its head is that of {data.shared_head!r}; set it there"
                )

    @property
    def all_tasks(self) -> dict[str, TaskData]:
        """Every task by name; a single one is called "task"."""
        return {ONLY: self.task} if self.task is not None else dict(self.tasks)

    @property
    def main_tasks(self) -> tuple[str, ...]:
        """Names of the tasks that decide which weights are best."""
        return tuple(name for name, data in self.all_tasks.items() if not data.auxiliary)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, source: str = "config") -> RunConfig:
        """From nested tables, as in a recipe file: [task] or [tasks.NAME] and [mixture], [training], [lora], and the
        rest on top.

        Raises ConfigError naming the field that is missing, unknown or of a wrong type.
        """
        values = {name: value for name, value in values.items() if value is not None}
        for name in ("task", "tasks", "mixture", "lora", "training"):
            if not isinstance(values.get(name, {}), Mapping):
                raise ConfigError(f"{source}: {name}: expected a table, got {values[name]!r:.60}")
        for name, table in (("task", TaskData), ("training", TrainingConfig)):
            if name in values:
                values[name] = table.from_dict(values[name], source=f"{source}: {name}")
        for name, options in (("mixture", Mixing), ("lora", LoraConfig)):
            if name in values:
                values[name] = from_dict(options, values[name], source=f"{source}: {name}")
        tables = values.get("tasks", {})
        for name, table in tables.items():
            if not isinstance(table, Mapping):
                raise ConfigError(
                    f"{source}: tasks.{name}: expected a table, got {table!r:.60}; a sole task is called [task]"
                )
        values["tasks"] = {
            name: TaskData.from_dict(table, source=f"{source}: tasks.{name}") for name, table in tables.items()
        }
        return from_dict(cls, values, source=source)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values that `from_dict` reads back to an equal config."""
        values: dict[str, Any] = {"model": self.model, "output_dir": self.output_dir, "device": self.device}
        values |= {"workers": self.workers, "feature_cache": self.feature_cache, "log_to": self.log_to}
        if self.task is not None:
            values["task"] = self.task.to_dict()
        else:
            values["tasks"] = {name: data.to_dict() for name, data in self.tasks.items()}
            values["mixture"] = dataclasses.asdict(self.mixture)
        if self.lora is not None:
            values["lora"] = dataclasses.asdict(self.lora)
        values["training"] = dataclasses.asdict(self.training)
        plain: dict[str, Any] = json.loads(json.dumps(values))
        return plain


def read_run(path: Path | str, settings: Mapping[str, Any] | None = None) -> RunConfig:
    """The run of a TOML or JSON file.

    settings: values by dotted name ("training.learning_rate") that win over the file.
    """
    return RunConfig.from_dict(read_tables(path, settings), source=str(path))


def read_tables(path: Path | str, settings: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The nested tables of a TOML or JSON file, with some values replaced; settings of [training] under our names."""
    path = Path(path)
    values = read_json(path) if path.suffix == ".json" else read_toml(path)
    return with_settings(_usual(values), _usual_settings(settings or {}))


def _usual(values: Mapping[str, Any]) -> dict[str, Any]:
    """The tables of a run, with the settings of [training] under their own names where they have others."""
    training = values.get("training")
    if not isinstance(training, Mapping) or any(OTHER_NAMES.get(name) in training for name in training):
        return dict(values)  # nothing to rename, or a setting under two names, which is refused later
    return {**values, "training": {OTHER_NAMES.get(name, name): value for name, value in training.items()}}


def _usual_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The same for values by dotted name."""
    others = {f"training.{other}": f"training.{name}" for other, name in OTHER_NAMES.items()}
    return {others.get(name, name): value for name, value in settings.items()}


def with_settings(values: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Nested tables with some values replaced, by dotted name; tables that are not there are added.

    One of several tables in a row goes by its number, from 0: "phases.0.max_steps".
    """
    changed = {name: dict(value) if isinstance(value, Mapping) else value for name, value in values.items()}
    for dotted, value in settings.items():
        first, dot, rest = dotted.partition(".")
        if not dot:
            changed[first] = value
        elif isinstance(inner := changed.get(first, {}), list):
            changed[first] = _with_item(inner, rest, value, source=dotted)
        elif isinstance(inner, Mapping):
            changed[first] = with_settings(inner, {rest: value})
        else:
            raise ConfigError(f"{dotted}: {first!r} is a value, not a table")
    return changed


def _with_item(items: list[Any], dotted: str, value: Any, *, source: str) -> list[Any]:
    """The same items, one of them changed. dotted: its number, and what in it."""
    number, dot, rest = dotted.partition(".")
    if not (number.isdecimal() and int(number) < len(items)):
        raise ConfigError(f"{source}: expected one of the numbers 0 to {len(items) - 1}, got {number!r}")
    place = int(number)
    if dot and not isinstance(items[place], Mapping):
        raise ConfigError(f"{source}: number {number} is a value, not a table")
    changed = with_settings(items[place], {rest: value}) if dot else value
    return [*items[:place], changed, *items[place + 1 :]]
