"""Curves hold what was measured and what is expected, and become a picture beside the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from plm.bench import read_runs, write_report
from plm.bench.curves import Series, points_of, series_of
from tests.bench.lines import line, store


def point(x: float, *, curve: str = "length", **values: Any) -> Any:
    return line("scaling", curve=curve, x=x, **values)


def stored(folder: Path, lines: list[Any]) -> Any:
    return read_runs(store(folder / "results", "scaling", lines))


def test_points_are_lines_with_curve_and_x(tmp_path: Path) -> None:
    lines = [
        point(1, seconds=1.0),
        point(2, curve="batch", seconds=1.0),
        line("scaling", x=3),
        line("scaling", points=1),
    ]
    found = points_of(stored(tmp_path, lines))
    assert {curve: [own["x"] for own in points] for curve, points in found.items()} == {"length": [1], "batch": [2]}


def test_series_are_sorted_by_x_and_the_arithmetic_touches_the_fastest_point(tmp_path: Path) -> None:
    lines = [
        point(4, series="a", seconds=2.0, gflop=40.0),
        point(2, series="a", seconds=2.0, gflop=20.0),
        point(2, series="b", seconds=1.0),
    ]
    points = points_of(stored(tmp_path, lines))["length"]
    assert series_of(points, "seconds") == [
        Series("a", (2, 4), (2.0, 2.0), (1.0, 2.0)),
        Series("b", (2,), (1.0,), ()),
    ]
    assert series_of(points, "peak_mib") == []


def test_series_of_several_runs_are_told_apart(tmp_path: Path) -> None:
    lines = [point(1, series="a", seconds=1.0), point(1, series="a", seconds=2.0, options="--threads 1")]
    points = points_of(stored(tmp_path, lines))["length"]
    assert [one.name for one in series_of(points, "seconds")] == ["a", "a --threads 1"]


def test_memory_stands_beside_what_is_stated(tmp_path: Path) -> None:
    points = points_of(stored(tmp_path, [point(2, peak_mib=300, stated_mib=310)]))["length"]
    assert series_of(points, "peak_mib") == [Series("", (2,), (300,), (310,))]


def test_curves_have_a_picture_beside_the_page(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    lines = [point(x, seconds=x / 10, gflop=float(x), peak_mib=300 + x, stated_mib=310 + x) for x in (16, 32, 64)]
    files = write_report(stored(tmp_path, [*lines, point(1, curve="threads", seconds=1.0)]), tmp_path / "page.md")
    picture = tmp_path / "images" / "benchmarks" / "scaling_curves.png"
    assert files == [tmp_path / "page.md", picture]
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "![Curves of scaling](images/benchmarks/scaling_curves.png)" in (tmp_path / "page.md").read_text()


def test_without_points_there_are_no_curves(tmp_path: Path) -> None:
    assert write_report(stored(tmp_path, [line("scaling", points=1)]), tmp_path / "page.md") == [tmp_path / "page.md"]
