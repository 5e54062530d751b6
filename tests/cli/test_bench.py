"""`plm bench` lists stored measurements and makes a page of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from plm.cli.bench import command
from plm.errors import DataError
from tests.bench.lines import line, store


def test_runs_are_listed_one_a_line(tmp_path: Path) -> None:
    store(tmp_path, "encode", [line(layers=2), line(layers=12), line(options="--threads 2")])
    listed = CliRunner().invoke(command, ["--results", str(tmp_path)])
    assert listed.exit_code == 0
    assert [row.split()[1] for row in listed.stdout.splitlines()] == ["2", "1"]
    as_json = CliRunner().invoke(command, ["--results", str(tmp_path), "--json"])
    assert [run["lines"] for run in json.loads(as_json.stdout)] == [2, 1]


def test_a_page_is_written_where_it_was_asked_for(tmp_path: Path) -> None:
    store(tmp_path, "encode", [line(layers=2)])
    page = tmp_path / "page.md"
    result = CliRunner().invoke(command, ["--results", str(tmp_path), "--report", str(page)])
    assert result.exit_code == 0, result.output
    assert "## encode" in page.read_text()
    assert str(page) in result.stdout


def test_a_folder_without_measurements_is_an_error(tmp_path: Path) -> None:
    assert isinstance(CliRunner().invoke(command, ["--results", str(tmp_path)]).exception, DataError)
    with pytest.raises(DataError):
        CliRunner().invoke(command, ["--results", str(tmp_path)], catch_exceptions=False)
