"""Stored lines become runs again; what is no line of a benchmark is named by file and line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from plm.bench import Spread, latest, read_runs
from plm.errors import DataError
from tests.bench.lines import line, ratio, store


def test_lines_of_one_date_and_command_are_a_run(tmp_path: Path) -> None:
    lines = [line(layers=2), line(layers=12), line(layers=2, date="2026-02-01T00:00:00+00:00")]
    store(tmp_path, "encode", lines)
    store(tmp_path, "atis", [line("atis", points=97.8)])
    runs = read_runs(tmp_path)
    assert [(run.name, len(run.lines)) for run in runs] == [("atis", 1), ("encode", 2), ("encode", 1)]
    assert runs[0].lines[0].kind == "atis"
    assert runs[0].lines[0].values == {"points": 97.8}


def test_the_latest_run_of_each_command_on_each_processor_counts(tmp_path: Path) -> None:
    old, new = "2026-01-01T00:00:00+00:00", "2026-03-01T00:00:00+00:00"
    lines = [
        line(date=new, n=1),
        line(date=old, n=2),
        line(date=old, options="--threads 2", n=3),
        line(date=old, processor="Other", n=4),
    ]
    kept = latest(read_runs(store(tmp_path, "encode", lines)))
    assert sorted(run.lines[0].values["n"] for run in kept) == [1, 3, 4]


def test_ratios_are_told_from_other_values(tmp_path: Path) -> None:
    store(tmp_path, "encode", [line(fast=ratio(3.0), scores={"median": 1.0}, layers=2)])
    (run,) = read_runs(tmp_path)
    assert run.lines[0].spreads() == {"fast": Spread(3.0, 2.5, 3.5)}


def test_options_of_a_command_are_named_as_values_are(tmp_path: Path) -> None:
    store(tmp_path, "encode", [line(options="--batch-size=4 --threads 2 --text a-b--c")])
    assert {"batch_size", "threads", "text"} <= read_runs(tmp_path)[0].options


def test_a_folder_without_lines_says_how_to_store_some(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--save"):
        read_runs(tmp_path)


@pytest.mark.parametrize(
    "text", ["no json", "[1]", json.dumps({"benchmark": "x"}), json.dumps({"setting": {"date": "2026"}})]
)
def test_what_is_no_line_of_a_benchmark_is_named_with_its_place(tmp_path: Path, text: str) -> None:
    (tmp_path / "encode.jsonl").write_text(json.dumps(line()) + "\n" + text + "\n")
    with pytest.raises(DataError, match=r"encode\.jsonl, line 2: expected"):
        read_runs(tmp_path)
