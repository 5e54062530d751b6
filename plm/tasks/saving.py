"""Tasks as tables of a recipe, and beside the model that learned them, so that it can be asked again.

tasks.json: {"slots": {"kind": "tagging", "labels": ["O", "B-city"], "scheme": "bio", "max_length": 64}}
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plm.config import from_dict, read_json, write_json
from plm.errors import ConfigError, UnknownNameError, did_you_mean
from plm.tasks.task import TASKS, AnyTask

FILE_NAME = "tasks.json"


@dataclass(frozen=True)
class SavedTask:
    """A task that knows its labels. max_length: tokens that its texts are cut to."""

    task: AnyTask
    max_length: int


def task_from_dict(values: Mapping[str, Any], *, source: str, besides: Collection[str] = ()) -> AnyTask:
    """A task from a flat table: `kind`, a name in TASKS, and the fields of that task.

    besides: other names that the table may have, and that are left to the caller.
    Raises ConfigError naming the field that is missing, unknown or of a wrong type.
    """
    if "kind" not in values:
        raise ConfigError(f"{source}: missing field 'kind' (one of {', '.join(TASKS.names())})")
    try:
        kind = TASKS.get(values["kind"])
    except UnknownNameError as error:
        raise ConfigError(f"{source}: kind: {error}") from error
    options = {name: value for name, value in values.items() if name not in besides and name != "kind"}
    known = {option.name for option in dataclasses.fields(kind)} | set(besides)  # type: ignore[arg-type]
    for name in options:
        if name not in known:
            raise ConfigError(f"{source}: unknown field {name!r}{did_you_mean(name, known)}")
    task: AnyTask = from_dict(kind, options, source=source)  # type: ignore[type-var]
    return task


def task_to_dict(task: AnyTask) -> dict[str, Any]:
    """The flat table that `task_from_dict` reads; what is None by default and still is, is left out."""
    kind = next((name for name, known in TASKS.items() if known is type(task)), None)
    if kind is None:
        name = type(task).__name__
        raise ConfigError(f'{name} has no name in recipes and saved folders: TASKS.add("...", {name}) gives it one')
    values = dataclasses.asdict(task)  # type: ignore[call-overload]
    usual = {option.name: option.default for option in dataclasses.fields(task)}  # type: ignore[arg-type]
    return {"kind": kind} | {name: value for name, value in values.items() if (value, usual[name]) != (None, None)}


def save_tasks(folder: Path | str, tasks: Mapping[str, SavedTask]) -> Path:
    """Write tasks.json into a folder, by name of the task; a crash in the middle leaves what was there."""
    path = Path(folder) / FILE_NAME
    tables = {name: task_to_dict(saved.task) | {"max_length": saved.max_length} for name, saved in tasks.items()}
    write_json(path, tables)
    return path


def load_tasks(folder: Path | str) -> dict[str, SavedTask]:
    """The tasks of a folder, by name; none where it has no tasks.json.

    Raises ConfigError naming the file and field of what is wrong.
    """
    path = Path(folder) / FILE_NAME
    if not path.exists():
        return {}
    tasks = {}
    for name, table in read_json(path).items():
        where = f"{path}: {name}"
        if not isinstance(table, Mapping):
            raise ConfigError(f"{where}: expected a table, got {type(table).__name__}")
        most = table.get("max_length")
        if not isinstance(most, int) or isinstance(most, bool) or most < 1:
            raise ConfigError(f"{where}: max_length: expected a positive number of tokens, got {most!r}")
        tasks[name] = SavedTask(task_from_dict(table, source=where, besides=("max_length",)), most)
    return tasks
