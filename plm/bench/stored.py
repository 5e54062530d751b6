"""What benchmarks left behind: JSON lines in files, one file a benchmark, `python -m benchmarks NAME --save FILE`.

A line is what the benchmark printed. Its "setting" says when, by which command, on which machine and with which
versions; the lines of one run have the same date and command.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plm.errors import DataError

SETTING = "setting"
REQUIRED = ("command", "date")


@dataclass(frozen=True)
class Spread:
    """A ratio of neighbouring runs: the median of all pairs, the least, the most."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, value: Any) -> Spread | None:
        """The spread that a value of a line stands for; None where it is something else."""
        if not isinstance(value, Mapping) or value.keys() != {"median", "min", "max"}:
            return None
        return cls(value["median"], value["min"], value["max"])

    def __str__(self) -> str:
        return f"{self.median:.4g} ({self.least:.4g} to {self.most:.4g})"


@dataclass(frozen=True)
class Line:
    """One line: `kind`, what was measured, its values by name, and the setting in which it was."""

    kind: str
    values: Mapping[str, Any]
    setting: Mapping[str, Any]

    def spreads(self) -> dict[str, Spread]:
        """Those of its values that are ratios."""
        found = {name: Spread.of(value) for name, value in self.values.items()}
        return {name: spread for name, spread in found.items() if spread is not None}


@dataclass(frozen=True, kw_only=True)
class Run:
    """The lines of one run. name: of the file that they are in; date: ISO, when it began."""

    name: str
    command: str
    date: str
    lines: tuple[Line, ...]

    @property
    def setting(self) -> Mapping[str, Any]:
        """Of its first line."""
        return self.lines[0].setting

    @property
    def options(self) -> set[str]:
        """Names of the options that the command gives, as values of lines are called."""
        return {option.replace("-", "_") for option in re.findall(r"--([a-z][a-z0-9-]*)", self.command)}


def read_runs(folder: Path) -> list[Run]:
    """All runs in the `.jsonl` files of a folder, by file name, then in the order in which they were stored.

    Raises DataError for a folder without such files, and for a line that is not one of a benchmark.
    """
    files = sorted(folder.glob("*.jsonl"))
    if not files:
        raise DataError(
            f"{folder}: expected files of measurements, NAME.jsonl, found none; "
            f"python -m benchmarks NAME --save {folder}/NAME.jsonl stores some"
        )
    return [run for file in files for run in _runs(file)]


def latest(runs: Iterable[Run]) -> list[Run]:
    """The newest run of each command on each kind of machine."""
    newest: dict[tuple[str, str, str], Run] = {}
    for run in sorted(runs, key=lambda run: run.date):
        newest[run.name, run.command, _machine(run.setting)] = run
    return sorted(newest.values(), key=lambda run: (run.name, run.command, run.date))


def _runs(file: Path) -> list[Run]:
    found: dict[tuple[str, str, str], list[Line]] = {}
    for number, text in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        if text.strip():
            line = _line(text, where=f"{file}, line {number}")
            setting = line.setting
            found.setdefault((setting["date"], setting["command"], _machine(setting)), []).append(line)
    return [
        Run(name=file.stem, command=command, date=date, lines=tuple(lines))
        for (date, command, _), lines in found.items()
    ]


def _machine(setting: Mapping[str, Any]) -> str:
    return f"{setting.get('processor')}, {setting.get('accelerator')}"


def _line(text: str, *, where: str) -> Line:
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{where}: expected a JSON object, got what is not JSON ({error})") from error
    found = values.get(SETTING) if isinstance(values, dict) else None
    setting: dict[str, Any] = found if isinstance(found, dict) else {}
    missing = [name for name in REQUIRED if not isinstance(setting.get(name), str)]
    if missing:
        raise DataError(
            f"{where}: expected the line of a benchmark, whose {SETTING!r} has {' and '.join(map(repr, missing))}; "
            "python -m benchmarks NAME --save FILE writes such lines"
        )
    kind = str(values.get("benchmark", ""))
    return Line(kind, {name: one for name, one in values.items() if name not in ("benchmark", SETTING)}, setting)
