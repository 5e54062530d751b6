"""The report has every figure with its setting, and a picture of the ratios."""

from __future__ import annotations

from pathlib import Path

import pytest

from plm.bench import read_runs, write_report
from plm.bench.picture import labelled
from tests.bench.lines import line, ratio, store


def report(folder: Path, lines: list[object]) -> str:
    write_report(read_runs(store(folder / "results", "encode", lines)), folder / "page.md")
    return (folder / "page.md").read_text(encoding="utf-8")


def test_a_run_stands_with_its_command_setting_and_figures(tmp_path: Path) -> None:
    text = report(tmp_path, [line(options="--layers 2", tokens_per_second=1234567, equal=True, parts={"a": 0.5})])
    for said in (
        "## encode",
        "Encoding made-up sentences.",
        "    python -m benchmarks encode --layers 2",
        "2026-01-02, Some CPU, 2 cores, threads: 1; torch 2.13",
        "| tokens per second | 1,234,567 |",
        "| equal | yes |",
        "| parts a | 0.5 |",
    ):
        assert said in text


def test_several_lines_of_a_kind_are_rows_of_one_table(tmp_path: Path) -> None:
    text = report(tmp_path, [line(task="cola", points=12.9), line(task="a|b", points=1)])
    assert "| task | points |\n| --- | --- |\n| cola | 12.9 |\n| a\\|b | 1 |\n" in text


def test_ratios_have_a_picture_beside_the_page(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    text = report(tmp_path, [line(fast=ratio(3.0))])
    assert "| fast | 3 (2.5 to 3.5) |" in text
    assert "](images/benchmarks/encode.png)" in text
    assert (tmp_path / "images" / "benchmarks" / "encode.png").read_bytes().startswith(b"\x89PNG")


def test_without_ratios_there_is_no_picture(tmp_path: Path) -> None:
    assert "![" not in report(tmp_path, [line(points=1)])
    assert not (tmp_path / "images").exists()


def test_a_picture_is_the_same_when_it_is_drawn_again(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    pictures = []
    for name in ("a", "b"):
        report(tmp_path / name, [line(fast=ratio(3.0))])
        pictures.append((tmp_path / name / "images" / "benchmarks" / "encode.png").read_bytes())
    assert pictures[0] == pictures[1]


def test_bars_are_told_apart_by_the_settings_that_differ(tmp_path: Path) -> None:
    lines = [
        line(options="--layers 2", layers=2, sentences=10, rate=7, fast_one=ratio(3.0)),
        line(options="--layers 4", layers=4, sentences=10, rate=8, fast_one=ratio(3.0)),
    ]
    labels = [label for label, _ in labelled(read_runs(store(tmp_path, "encode", lines)))]
    assert labels == ["fast one (layers 2)", "fast one (layers 4)"]
