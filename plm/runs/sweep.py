"""The same run over several seeds and values: a folder for each, a table of all."""

from __future__ import annotations

import itertools
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from plm.config import write_json, write_text
from plm.errors import ConfigError, TrainingError
from plm.runs.config import RunConfig, with_settings
from plm.runs.folders import require_free
from plm.runs.report import RunReport, finite
from plm.runs.run import train
from plm.training.distributed import join

Grid = Mapping[str, Sequence[Any]]
"""Dotted name in the config -> the values to try."""


@dataclass(frozen=True)
class SweepRow:
    """One combination. settings: by dotted name. metrics: on the dev files, one value for each seed."""

    settings: Mapping[str, Any]
    metrics: Mapping[str, tuple[float, ...]]

    def mean(self, name: str) -> float:
        """Of a metric over the seeds."""
        return statistics.fmean(self.metrics[name])

    def deviation(self, name: str) -> float:
        """Standard deviation over the seeds (n - 1); 0 for one seed."""
        values = self.metrics[name]
        return statistics.stdev(values) if len(values) > 1 else 0.0


@dataclass(frozen=True)
class SweepReport:
    """All combinations, in the order they ran."""

    seeds: tuple[int, ...]
    rows: tuple[SweepRow, ...]

    def lines(self) -> list[str]:
        """A markdown table: settings, and mean and deviation of every metric."""
        names = list(self.rows[0].metrics)
        settings = list(self.rows[0].settings)
        table = [settings + names, ["---"] * (len(settings) + len(names))]
        for row in self.rows:
            scores = [f"{row.mean(name):.4f} ± {row.deviation(name):.4f}" for name in names]
            table.append([str(value) for value in row.settings.values()] + scores)
        return [f"seeds: {', '.join(map(str, self.seeds))}", "", *(f"| {' | '.join(cells)} |" for cells in table)]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; None = not a finite number."""
        rows = [{"settings": dict(row.settings), "metrics": finite(row.metrics)} for row in self.rows]
        return {"seeds": list(self.seeds), "rows": rows}


def sweep(
    config: RunConfig, *, grid: Grid = MappingProxyType({}), seeds: Sequence[int] = (), overwrite: bool = False
) -> SweepReport:
    """Run every combination of the grid with every seed; each into a folder below `config.output_dir`.

    seeds: none = the one of the config. The folder also gets sweep.json and sweep.md.
    Before anything runs, raises ConfigError when a combination is no config, or two are the same, and TrainingError for
    a folder that holds files; later, TrainingError when a run was interrupted.
    """
    seeds = tuple(seeds) or (config.training.seed,)
    names = list(grid)
    combinations = [dict(zip(names, values, strict=True)) for values in itertools.product(*grid.values())]
    plan = [[_variant(config, settings, seed) for seed in seeds] for settings in combinations]
    _check_folders([variant for variants in plan for variant in variants], overwrite=overwrite)
    rows = []
    for settings, variants in zip(combinations, plan, strict=True):
        reports = [_whole(variant, overwrite=overwrite) for variant in variants]
        metrics = {name: tuple(report.metrics[name] for report in reports) for name in reports[0].metrics}
        rows.append(SweepRow(settings, metrics))
    result = SweepReport(seeds, tuple(rows))
    folder = Path(config.output_dir)
    if join().is_main:
        write_json(folder / "sweep.json", result.to_dict())
        write_text(folder / "sweep.md", "\n".join(result.lines()) + "\n")
    return result


def _whole(config: RunConfig, *, overwrite: bool) -> RunReport:
    """A run that nobody stopped. Raises TrainingError for any other."""
    report = train(config, overwrite=overwrite)
    if report.training.stopped in ("interrupted", "terminated"):
        raise TrainingError(f"{report.output_dir}: the run was {report.training.stopped}, the sweep ends here")
    return report


def parse_grid(options: Sequence[str]) -> dict[str, list[Any]]:
    """`NAME=A,B,C` as a grid; a value that is JSON (a number, true, null) is read as such."""
    grid: dict[str, list[Any]] = {}
    for option in options:
        name, equals, values = option.partition("=")
        if not (name and equals and values):
            raise ConfigError(f"--grid: expected NAME=A,B,C, got {option!r}")
        grid[name] = [_parsed(value) for value in values.split(",")]
    return grid


def _check_folders(variants: Sequence[RunConfig], *, overwrite: bool) -> None:
    """What would stop the sweep in its middle."""
    folders = [variant.output_dir for variant in variants]
    if twice := [folder for place, folder in enumerate(folders) if folder in folders[:place]]:
        raise ConfigError(f"two runs of the sweep would write into {twice[0]}: name each seed and value once")
    for variant in variants:
        check = partial(require_free, Path(variant.output_dir), overwrite=overwrite, resume=variant.training.resume)
        join().by_main(check)


def _variant(config: RunConfig, settings: Mapping[str, Any], seed: int) -> RunConfig:
    label = "_".join([*(f"{name.rpartition('.')[2]}-{value}" for name, value in settings.items()), f"seed-{seed}"])
    folder = str(Path(config.output_dir) / label.replace("/", "-"))
    changes = {**settings, "training.seed": seed, "output_dir": folder}
    return RunConfig.from_dict(with_settings(config.to_dict(), changes), source=label)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
