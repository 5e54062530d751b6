"""`python -m benchmarks NAME --save FILE` keeps what is printed, so that `plm bench` can read it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.__main__ import take_save
from benchmarks.measure import emit
from benchmarks.saving import saved_lines
from plm.bench import read_runs


def test_json_lines_are_stored_with_command_and_date_and_still_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "results" / "made.jsonl"
    with saved_lines(file, command="python -m benchmarks made --layers 2", about="Made up."):
        emit("made", points=1)
        print("a remark")
        print(json.dumps({"model": "bert"}))
    assert capsys.readouterr().out.count("\n") == 3
    (run,) = read_runs(file.parent)
    assert run.command == "python -m benchmarks made --layers 2"
    assert [one.kind for one in run.lines] == ["made", ""]
    assert {"date", "processor", "cores", "threads", "versions", "about"} <= run.setting.keys()
    assert run.lines[1].setting["versions"] == run.setting["versions"]


def test_what_was_printed_before_an_error_is_kept(tmp_path: Path) -> None:
    def fail() -> None:
        with saved_lines(tmp_path / "made.jsonl", command="c", about=""):
            emit("made", points=1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert read_runs(tmp_path)[0].lines[0].values == {"points": 1}


def test_further_runs_are_added(tmp_path: Path) -> None:
    for command in ("one", "two"):
        with saved_lines(tmp_path / "made.jsonl", command=command, about=""):
            emit("made", points=1)
    assert [run.command for run in read_runs(tmp_path)] == ["one", "two"]


@pytest.mark.parametrize("words", [["--save", "x.jsonl"], ["--save=x.jsonl"]])
def test_the_option_is_taken_out_of_the_arguments(words: list[str]) -> None:
    arguments = ["program", "--layers", "2", *words, "--threads", "1"]
    assert take_save(arguments) == Path("x.jsonl")
    assert arguments == ["program", "--layers", "2", "--threads", "1"]
    assert take_save(arguments) is None


def test_the_option_without_a_file_is_refused() -> None:
    with pytest.raises(SystemExit, match="needs a file"):
        take_save(["program", "--save"])
