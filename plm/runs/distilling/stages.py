"""Stages that are done once: each has a folder, and a record of what was asked for and what came of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plm.checkpoints.destination import OVERWRITE
from plm.config import read_json, write_json
from plm.errors import TrainingError
from plm.runs.folders import make_folder
from plm.training.distributed import Processes
from plm.training.lengthening import LENGTHS

FILE = "stage.json"
"""{"asked": what the stage depends on, "outcome": what came of it, or null while it is not finished}"""

_SHOWN = 12


class Stopped(Exception):
    """A signal ended a stage before it was finished. reason: as in TrainingReport.stopped."""

    def __init__(self, stage: str, reason: str) -> None:
        super().__init__(f"the stage {stage!r} was {reason}; the same command goes on from there")
        self.stage, self.reason = stage, reason


@dataclass(frozen=True)
class Done:
    """A finished stage. outcome: JSON values; its "digest" tells the result from others."""

    name: str
    folder: Path
    outcome: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """Of the result."""
        return str(self.outcome["digest"])


@dataclass(frozen=True)
class Stages:
    """The folders of a distillation.

    folder: holds those of its own stages. shared: of other distillations, whose finished stages serve where they were
    asked for the same. wanted: the stages to run; others have to be finished.
    overwrite: True = a stage that was asked for something else is done anew.
    """

    folder: Path
    wanted: Collection[str]
    processes: Processes
    shared: tuple[Path, ...] = ()
    overwrite: bool = False

    def run(self, name: str, asked: Mapping[str, Any], work: Callable[[Path], Mapping[str, Any]]) -> Done:
        """The stage as it was finished before, or done now, from where it stopped.

        asked: everything that the result depends on, as JSON values. work: fills the folder of the stage and returns
        the outcome; all processes call it. It raises Stopped when it could not finish.
        Raises TrainingError for a stage that was asked for something else, unless it is another length and the stage is
        not finished; and for one that would have to run first.
        """
        asked = json.loads(json.dumps(asked))
        done = self.processes.by_main(lambda: self._finished(name, asked))
        if done is not None:
            return done
        folder = self.folder / name
        self.processes.by_main(lambda: self._begin(folder, asked))
        outcome = json.loads(json.dumps(work(folder)))
        self.processes.by_main(lambda: _finish(folder, asked, outcome))
        return Done(name, folder, outcome)

    def _finished(self, name: str, asked: Mapping[str, Any]) -> Done | None:
        """None = it is to be done. Raises TrainingError where it cannot."""
        for folder in (self.folder / name, *(other / name for other in self.shared)):
            record = _read(folder)
            if record is not None and record["asked"] == asked and record["outcome"] is not None:
                return Done(name, folder, record["outcome"])
        record = _read(self.folder / name)
        if record is not None and not _goes_on(record, asked) and not self.overwrite:
            raise TrainingError(
                f"{self.folder / name}: the stage was asked for something else; then -> now:"
                f"{_differences(record['asked'], asked)}\nPut it back as it was, take another output_dir, or "
                f"{OVERWRITE}"
            )
        if name not in self.wanted:
            raise TrainingError(f"the stage {name!r} is not finished as it is asked for now; run it, too")
        return None

    def _begin(self, folder: Path, asked: Mapping[str, Any]) -> None:
        record = _read(folder)
        if record is not None and record["asked"] != asked and (self.overwrite or not _goes_on(record, asked)):
            shutil.rmtree(folder)
        make_folder(folder)
        write_json(folder / FILE, {"asked": asked, "outcome": None})


def _finish(folder: Path, asked: Mapping[str, Any], outcome: Mapping[str, Any]) -> None:
    write_json(folder / FILE, {"asked": asked, "outcome": outcome})
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)  # nobody goes on from them any more


def _read(folder: Path) -> dict[str, Any] | None:
    """The record of a stage; None = it was never begun. Raises TrainingError for a file that is no record."""
    path = folder / FILE
    if not path.is_file():
        return None
    record = read_json(path)
    if record.keys() != {"asked", "outcome"}:
        raise TrainingError(f"{path}: is no record of a stage; remove the folder to begin the stage anew")
    return record


def _goes_on(record: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    """True = a stage was asked for this; while it is not finished, perhaps with another length, which Trainers take."""
    if record["outcome"] is not None:
        return bool(record["asked"] == asked)
    lengths = {f"stage.{name}" for name in LENGTHS}
    then, now = ({name: v for name, v in _flat(each) if name not in lengths} for each in (record["asked"], asked))
    return then == now


def _differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    before, after = dict(_flat(then)), dict(_flat(now))
    names = [name for name in dict.fromkeys([*before, *after]) if before.get(name) != after.get(name)]
    lines = [f"{name}: {before.get(name, 'none')} -> {after.get(name, 'none')}" for name in names]
    more = [f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    return "".join(f"\n  {line}" for line in [*lines[:_SHOWN], *more])


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Nested tables as values by dotted name."""
    found: list[tuple[str, Any]] = []
    for name, value in values.items():
        found += _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else [(f"{prefix}{name}", value)]
    return found
