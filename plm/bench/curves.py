"""A picture of how time and memory grow: what was measured, beside what arithmetic and documents say.

A line is a point if it has "curve" and "x"; and as far as known "series" (which of several in one panel), "seconds"
with "gflop" (the work of each thread, 10^9), "peak_mib" with "stated_mib" (what it is at most).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Any

from plm.bench.figures import new_figure, save
from plm.bench.stored import Run

COLOURS = ("#5c6bc0", "#ef6c00", "#00897b", "#8e24aa")
DOTTED = {"seconds": "arithmetic at the best rate", "peak_mib": "stated"}
LABELS = {"seconds": "seconds", "peak_mib": "peak memory, MiB"}


@dataclass(frozen=True)
class Series:
    """By x: what was measured, and what is expected at the same places; () where nothing is known."""

    name: str
    xs: tuple[float, ...]
    measured: tuple[float, ...]
    expected: tuple[float, ...]


def draw_curves(runs: Sequence[Run], path: Path) -> bool:
    """Draw all curves of the runs of one benchmark into a png, log-log; False = there are none, and no picture.

    Raises BackendUnavailable without matplotlib.
    """
    points = points_of(runs)
    if not points:
        return False
    figure = new_figure(8, 2.6 * len(points))
    panels = figure.subplots(len(points), len(LABELS), squeeze=False)
    for row, (curve, own) in zip(panels, points.items(), strict=True):
        for axes, value in zip(row, LABELS, strict=True):
            _panel(axes, curve, value, series_of(own, value))
    save(figure, path)
    return True


def points_of(runs: Sequence[Run]) -> dict[str, list[Mapping[str, Any]]]:
    """The values of lines that are points, by curve. The series of several runs are told apart by what differs."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for run, differing in zip(runs, _differing(runs), strict=True):
        for values in (line.values for line in run.lines if {"curve", "x"} <= line.values.keys()):
            series = " ".join(word for word in (str(values.get("series", "")), *differing) if word)
            found.setdefault(str(values["curve"]), []).append({**values, "series": series})
    return found


def _differing(runs: Sequence[Run]) -> list[list[str]]:
    """For each run its options, and its processor, where others have other ones."""
    facts = [(" ".join(run.command.split()[4:]), str(run.setting.get("processor", ""))) for run in runs]
    differs = [len(set(column)) > 1 for column in zip(*facts, strict=True)]
    return [list(compress(one, differs)) for one in facts]


def series_of(points: Sequence[Mapping[str, Any]], value: str) -> list[Series]:
    """The series of one curve, points without `value` left out.

    points: of points_of. value: "seconds", expected as the arithmetic takes at the best rate of the series, or
    "peak_mib", expected as stated.
    """
    by_name: dict[str, list[Mapping[str, Any]]] = {}
    for point in sorted((point for point in points if value in point), key=lambda point: float(point["x"])):
        by_name.setdefault(point["series"], []).append(point)
    return [
        Series(
            name,
            tuple(point["x"] for point in own),
            tuple(point[value] for point in own),
            _arithmetic(own) if value == "seconds" else _all(own, "stated_mib"),
        )
        for name, own in by_name.items()
    ]


def _arithmetic(points: Sequence[Mapping[str, Any]]) -> tuple[float, ...]:
    work = _all(points, "gflop")
    best = max((done / point["seconds"] for done, point in zip(work, points, strict=False)), default=1.0)
    return tuple(done / best for done in work)


def _all(points: Sequence[Mapping[str, Any]], name: str) -> tuple[float, ...]:
    """The value at all points; () where one has none."""
    return tuple(point[name] for point in points) if all(name in point for point in points) else ()


def _panel(axes: Any, curve: str, value: str, series: Sequence[Series]) -> None:
    axes.set(xscale="log", yscale="log", xlabel=curve, ylabel=LABELS[value])
    for number, one in enumerate(series):
        colour = COLOURS[number % len(COLOURS)]
        axes.plot(one.xs, one.measured, "o-", color=colour, markersize=3, label=f"{one.name} measured".strip())
        if one.expected:
            axes.plot(one.xs, one.expected, ":", color=colour, label=f"{one.name} {DOTTED[value]}".strip())
    xs = sorted({x for one in series for x in one.xs})
    axes.set_xticks(xs, [f"{x:g}" for x in xs], fontsize="x-small")
    axes.xaxis.minorticks_off()
    if series:
        axes.legend(fontsize="x-small")
