"""What a run trains, on what, and how: one table that a recipe file can hold."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from plm.config import from_dict, read_json, read_toml, require_positive
from plm.errors import ConfigError, did_you_mean
from plm.tasks import TASKS, AnyTask
from plm.training import TrainingConfig

ONLY = "task"
"""Name of the task of a run that has one."""


@dataclass(frozen=True, kw_only=True)
class TaskData:
    """One task of a run: its kind and options, its files, its batches.

    train, dev, test: files or folders, as the task reads them; the best weights are those that do best on dev; test is
        scored once, with them.
    max_length: tokens of a text; None = 128, or what the model takes if that is less.
    batch_size: features in a batch. loss_weight: how much its loss counts among several tasks.
    """

    task: AnyTask
    train: str
    dev: str
    test: str | None = None
    max_length: int | None = None
    batch_size: int = 32
    loss_weight: float = 1.0

    def __post_init__(self) -> None:
        require_positive(self, "batch_size")
        if not 0.0 < self.loss_weight < math.inf:
            raise ConfigError(f"loss_weight: expected a positive number, got {self.loss_weight}")
        if self.max_length is not None:
            require_positive(self, "max_length")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, source: str = "config") -> TaskData:
        """From one flat table: `kind`, a name in TASKS, the fields of that task, and the fields above.

        Raises ConfigError naming the field that is missing, unknown or of a wrong type.
        """
        if "kind" not in values:
            raise ConfigError(f"{source}: missing field 'kind' (one of {', '.join(TASKS.names())})")
        own = {name: value for name, value in values.items() if name in _OWN}
        options = {name: value for name, value in values.items() if name not in _OWN and name != "kind"}
        kind = TASKS.get(values["kind"])
        known = {option.name for option in dataclasses.fields(kind)} | _OWN  # type: ignore[arg-type]
        for name in options:
            if name not in known:
                raise ConfigError(f"{source}: unknown field {name!r}{did_you_mean(name, known)}")
        task = from_dict(kind, options, source=source)  # type: ignore[type-var]
        return from_dict(cls, own | {"task": task}, source=source)

    def to_dict(self) -> dict[str, Any]:
        """The flat table that `from_dict` reads; what is None is left out."""
        kind = next(name for name, task in TASKS.items() if task is type(self.task))
        own = {name: getattr(self, name) for name in _OWN}
        options = dataclasses.asdict(self.task)  # type: ignore[call-overload]
        return {"kind": kind} | {name: value for name, value in (own | options).items() if value is not None}


_OWN = {option.name for option in dataclasses.fields(TaskData)} - {"task"}


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One training, of one task or of several at once.

    model: a checkpoint of any known layout: a folder, a file, a name on the hub.
    output_dir: the folder to write. task: what to learn; or tasks: several, by name.
    device: None = the GPU if there is one. training: everything else.
    """

    model: str
    output_dir: str
    task: TaskData | None = None
    tasks: Mapping[str, TaskData] = field(default_factory=dict)
    device: str | None = None
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def __post_init__(self) -> None:
        if (self.task is None) == (not self.tasks):
            raise ConfigError("a run needs a task, or several tasks by name, and not both")

    @property
    def all_tasks(self) -> dict[str, TaskData]:
        """Every task by name; a single one is called "task"."""
        return {ONLY: self.task} if self.task is not None else dict(self.tasks)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, source: str = "config") -> RunConfig:
        """From nested tables, as in a recipe file: [task] or [tasks.NAME], [training], and the rest on top.

        Raises ConfigError naming the field that is missing, unknown or of a wrong type.
        """
        values = dict(values)
        for name in ("task", "tasks", "training"):
            if not isinstance(values.get(name, {}), Mapping):
                raise ConfigError(f"{source}: {name}: expected a table, got {values[name]!r:.60}")
        if "task" in values:
            values["task"] = TaskData.from_dict(values["task"], source=f"{source}: task")
        values["tasks"] = {
            name: TaskData.from_dict(table, source=f"{source}: tasks.{name}")
            for name, table in values.get("tasks", {}).items()
        }
        values["training"] = TrainingConfig.from_dict(values.get("training", {}), source=f"{source}: training")
        return from_dict(cls, values, source=source)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values that `from_dict` reads back to an equal config."""
        values: dict[str, Any] = {"model": self.model, "output_dir": self.output_dir, "device": self.device}
        if self.task is not None:
            values["task"] = self.task.to_dict()
        else:
            values["tasks"] = {name: data.to_dict() for name, data in self.tasks.items()}
        values["training"] = dataclasses.asdict(self.training)
        plain: dict[str, Any] = json.loads(json.dumps(values))
        return plain


def read_run(path: Path | str, settings: Mapping[str, Any] | None = None) -> RunConfig:
    """The run of a TOML or JSON file.

    settings: values by dotted name ("training.learning_rate") that win over the file.
    """
    path = Path(path)
    values = read_json(path) if path.suffix == ".json" else read_toml(path)
    return RunConfig.from_dict(with_settings(values, settings or {}), source=str(path))


def with_settings(values: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Nested tables with some values replaced, by dotted name; tables that are not there are added."""
    changed = {name: dict(value) if isinstance(value, Mapping) else value for name, value in values.items()}
    for dotted, value in settings.items():
        first, dot, rest = dotted.partition(".")
        if dot:
            inner = changed.get(first, {})
            if not isinstance(inner, Mapping):
                raise ConfigError(f"{dotted}: {first!r} is a value, not a table")
            changed[first] = with_settings(inner, {rest: value})
        else:
            changed[first] = value
    return changed
