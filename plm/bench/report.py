"""A page about stored measurements: figures, settings, and pictures of the ratios and of the curves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from plm.bench.curves import draw_curves
from plm.bench.picture import draw_ratios
from plm.bench.stored import Line, Run, Spread
from plm.config import write_text

INTRODUCTION = """\
# Benchmarks

What the measurements in `benchmarks/` printed the last time that they were stored, by command and machine. A ratio is
the median of neighbouring runs, with the least and the most in brackets; above 1 plm is faster, except where its name
says *cost*. This page is made by `plm bench --report docs/benchmarks.md`; `python -m benchmarks NAME --save
benchmarks/results/NAME.jsonl` adds to it.
"""

PICTURES = "images/benchmarks"


def write_report(runs: Sequence[Run], path: Path) -> list[Path]:
    """Write the page, and beside it pictures of benchmarks that have ratios or curves. Returns the files, page first.

    Raises BackendUnavailable without matplotlib (extra "plot").
    """
    by_name = {name: list(own) for name, own in groupby(runs, key=lambda run: run.name)}
    folder = path.parent / PICTURES
    pictures = {name: list(_pictures(name, own, folder)) for name, own in by_name.items()}
    sections = [_section(name, own, pictures[name]) for name, own in by_name.items()]
    write_text(path, "\n".join([INTRODUCTION, *sections]))
    return [path, *(folder / file for drawn in pictures.values() for _, file in drawn)]


def _pictures(name: str, runs: Sequence[Run], folder: Path) -> Iterator[tuple[str, str]]:
    """Draw what there is to draw. Gives titles and file names."""
    for kind, file, draw in (("Ratios", f"{name}.png", draw_ratios), ("Curves", f"{name}_curves.png", draw_curves)):
        if draw(runs, folder / file):
            yield f"{kind} of {name}", file


def _section(name: str, runs: Sequence[Run], pictures: Sequence[tuple[str, str]]) -> str:
    about = runs[-1].setting.get("about")
    shown = (f"![{title}]({PICTURES}/{file})\n" for title, file in pictures)
    parts = (f"## {name}\n", f"{about}\n" if about else None, *shown, *map(_run, runs))
    return "\n".join(part for part in parts if part)


def _run(run: Run) -> str:
    tables = [_table(list(lines)) for _, lines in groupby(run.lines, key=lambda line: (line.kind, tuple(line.values)))]
    return "\n".join([f"    {run.command}\n", f"{setting_in_words(run)}\n", *tables])


def setting_in_words(run: Run) -> str:
    """When, where, with what: "2026-11-22, Intel Xeon, 2 cores, 1 thread; torch 2.13.0"."""
    setting = run.setting
    threads = sorted({str(line.setting["threads"]) for line in run.lines if "threads" in line.setting})
    place = [
        run.date.partition("T")[0],
        setting.get("processor") or setting.get("machine"),
        f"{setting['cores']} cores" if "cores" in setting else None,
        f"threads: {', '.join(threads)}" if threads else None,
        setting.get("accelerator"),
    ]
    versions = setting.get("versions")
    with_what = [f"{name} {version}" for name, version in versions.items()] if isinstance(versions, Mapping) else []
    return "; ".join(part for part in (", ".join(str(one) for one in place if one), ", ".join(with_what)) if part)


def _table(lines: Sequence[Line]) -> str:
    """One line of a kind as a column, several as rows."""
    flat = [dict(_flat(line.values)) for line in lines]
    if len(flat) == 1:
        rows = [[lines[0].kind or "figure", "value"], *([_words(name), value] for name, value in flat[0].items())]
    else:
        names = list(dict.fromkeys(name for one in flat for name in one))
        rows = [[_words(name) for name in names], *([one.get(name, "") for name in names] for one in flat)]
    rows.insert(1, ["---"] * len(rows[0]))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _flat(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Names and values as people read them; what lies inside another value has its name behind."""
    for name, value in values.items():
        spread = Spread.of(value)
        if spread is not None:
            yield name, str(spread)
        elif isinstance(value, Mapping):
            yield from ((f"{name} {inner}", text) for inner, text in _flat(value))
        else:
            yield name, _text(value)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return str(value).replace("|", "\\|")


def _words(name: str) -> str:
    return name.replace("_", " ")
