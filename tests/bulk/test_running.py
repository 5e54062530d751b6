"""Whole files through a model: the pipeline's answers in their order, whatever happens on the way."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import plm
from plm.bulk import Effort, Embed, Predict, Row, Table, answer_file, running
from plm.bulk import draft as drafts
from plm.data import Columns
from plm.errors import ConfigError, DataError
from tests.bulk.conftest import TEXT, Write, rows
from tests.tiny_folders import tiny_folder


def partial(output: Path) -> Path:
    return output.with_name(f"{output.name}.partial")


@pytest.mark.parametrize("workers", [0, 2])
def test_answers_are_those_of_the_pipeline_in_order(
    tmp_path: Path, classifier: Path, texts: list[str], json_lines: Write, workers: int
) -> None:
    output = tmp_path / "out.jsonl"
    done = answer_file(
        Table(json_lines(texts), TEXT), Predict(model=classifier), output, effort=Effort(workers=workers, rows=17)
    )
    expected = plm.pipeline("text-classification", classifier)(texts)
    found = rows(output)
    assert [row["text"] for row in found] == texts
    assert [row["id"] for row in found] == [str(number) for number in range(1, 101)]
    assert [row["label"] for row in found] == [answer["label"] for answer in expected]
    assert [row["score"] for row in found] == pytest.approx([answer["score"] for answer in expected])
    assert (done.rows, done.refused, done.tokens) == (100, 0, sum(len(text.split()) + 2 for text in texts))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.jsonl", "texts.jsonl"]


class Killed(BaseException):
    """Nobody expects it."""


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of the parts that are worked on; a negative one that stands here ends the work at that part."""
    numbers: list[int] = []
    work = running.Work.__call__

    def call(self: Any, block: Any) -> Any:
        if numbers and numbers[0] < 0 and block.number == -numbers[0]:
            raise Killed
        numbers.append(block.number)
        return work(self, block)

    monkeypatch.setattr(running.Work, "__call__", call)
    return numbers


def stop_at(counted: list[int], number: int, *arguments: Any, **options: Any) -> None:
    """Begin, and end all of a sudden at a part."""
    counted.append(-number)
    with pytest.raises(Killed):
        answer_file(*arguments, **options)
    counted.clear()


def test_what_was_stopped_goes_on_and_repeats_nothing(
    tmp_path: Path, classifier: Path, texts: list[str], json_lines: Write, counted: list[int]
) -> None:
    table, job, effort = Table(json_lines(texts), TEXT), Predict(model=classifier), Effort(rows=20)
    answer_file(table, job, tmp_path / "whole.jsonl", effort=effort)
    counted.clear()
    output = tmp_path / "out.jsonl"
    stop_at(counted, 3, table, job, output, effort=effort)
    assert not output.exists()
    (partial(output) / ".00000003.part.x").touch()  # what a kill leaves of a part that was being written
    (partial(output) / "00000003.part").write_text("half")
    done = answer_file(table, job, output, effort=effort)
    assert counted == [3, 4]
    assert (done.rows, done.new_rows) == (100, 40)
    assert output.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert not partial(output).exists()


def test_other_options_or_another_model_are_refused_until_overwrite_begins_anew(
    tmp_path: Path, classifier: Path, texts: list[str], json_lines: Write, counted: list[int]
) -> None:
    table, output = Table(json_lines(texts), TEXT), tmp_path / "out.jsonl"
    stop_at(counted, 3, table, Predict(model=classifier), output, effort=Effort(rows=20))
    other = Predict(model=classifier, max_length=5)
    with pytest.raises(DataError, match=r"was begun with another max_length; .*--overwrite"):
        answer_file(table, other, output, effort=Effort(rows=20))
    with pytest.raises(DataError, match="was begun with another rows"):
        answer_file(table, Predict(model=classifier), output, effort=Effort(rows=10))
    answer_file(table, other, output, effort=Effort(rows=20, overwrite=True))
    assert counted == [0, 1, 2, 3, 4]
    with pytest.raises(DataError, match="is there already"):
        answer_file(table, other, output)


def test_a_model_whose_files_change_is_another(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "model", "bert", "sequence_classification")
    before = Predict(model=folder).origin()
    assert Predict(model=folder).origin() == before
    (folder / "tokenizer_config.json").write_text("{}")
    assert Predict(model=folder).origin()["model"] != before["model"]


def test_changed_rows_are_refused_and_only_they_are_done_again(
    tmp_path: Path, classifier: Path, texts: list[str], json_lines: Write, counted: list[int]
) -> None:
    job, output = Predict(model=classifier), tmp_path / "out.jsonl"
    stop_at(counted, 4, Table(json_lines(texts), TEXT), job, output, effort=Effort(rows=20))
    changed = ["rain", *texts[1:]]
    with pytest.raises(DataError, match=r"texts.jsonl: lines 1 to 20 changed since .*--overwrite"):
        answer_file(Table(json_lines(changed), TEXT), job, output, effort=Effort(rows=20))
    with pytest.raises(DataError, match="the end changed since"):
        answer_file(Table(json_lines(texts[:60]), TEXT), job, output, effort=Effort(rows=20))
    counted.clear()
    done = answer_file(Table(json_lines(changed), TEXT), job, output, effort=Effort(rows=20, overwrite=True))
    assert counted == [0, 4]
    assert [row["text"] for row in rows(output)] == changed
    assert done.rows == 100


def test_a_bad_row_names_itself_and_can_be_mended_or_skipped(
    tmp_path: Path, classifier: Path, texts: list[str], json_lines: Write, counted: list[int]
) -> None:
    path, job, output = json_lines([*texts[:50], " ", *texts[51:]]), Predict(model=classifier), tmp_path / "out.jsonl"
    with pytest.raises(DataError, match=r"texts.jsonl, line 51: column 'text': the text is empty. .*--bad-rows skip"):
        answer_file(Table(path, TEXT), job, output, effort=Effort(rows=20))
    counted.clear()
    skipping = Effort(rows=20, refuse="skip")
    done = answer_file(Table(path, TEXT), job, tmp_path / "less.jsonl", effort=skipping)
    assert (done.rows, done.refused) == (99, 1)
    assert done.listed is not None
    assert rows(done.listed) == [{"file": str(path), "line": 51, "reason": "column 'text': the text is empty"}]
    assert [row["id"] for row in rows(tmp_path / "less.jsonl")][49:51] == ["50", "52"]
    counted.clear()
    answer_file(Table(json_lines(texts), TEXT), job, output, effort=Effort(rows=20))
    assert counted == [2, 3, 4]
    assert [row["text"] for row in rows(output)] == texts


class Dry:
    """A job that answers with lengths, and cannot use one word."""

    def origin(self) -> dict[str, Any]:
        return {}

    def open(self) -> Any:
        def ask(texts: Any) -> list[int]:
            for place, text in enumerate(texts):
                if "rain" in text.split():
                    raise DataError(f"text {place}: is wet")
            return [len(text) for text in texts]

        return ask

    def told(self, row: Row, answer: Any) -> dict[str, Any]:
        return {"text": row.text, "length": answer}


def test_rows_that_only_the_job_cannot_use_are_found(tmp_path: Path, texts: list[str], json_lines: Write) -> None:
    wet = [place for place, text in enumerate(texts, start=1) if "rain" in text.split()]
    output = tmp_path / "out.jsonl"
    done = answer_file(Table(json_lines(texts), TEXT), Dry(), output, effort=Effort(rows=40, refuse="skip"))
    assert [row["text"] for row in rows(output)] == [text for text in texts if "rain" not in text.split()]
    assert done.listed is not None
    assert [(row["line"], row["reason"]) for row in rows(done.listed)] == [(place, "is wet") for place in wet]
    assert 5 < len(wet) < 95


def test_half_of_a_character_is_a_bad_row(tmp_path: Path, classifier: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "good \\ud83d"}\n')
    with pytest.raises(DataError, match=r"line 1: column 'text': holds half of a surrogate pair, '\\ud83d'"):
        answer_file(Table(path, TEXT), Predict(model=classifier), tmp_path / "out.jsonl")


def test_files_without_usable_rows_are_refused_and_leave_nothing(
    tmp_path: Path, classifier: Path, json_lines: Write
) -> None:
    job, output = Predict(model=classifier), tmp_path / "out.jsonl"
    with pytest.raises(DataError, match=r"holds no rows that can be used$"):
        answer_file(Table(json_lines([]), TEXT), job, output)
    with pytest.raises(DataError, match="no folder"):
        answer_file(Table(json_lines(["a"]), TEXT), job, tmp_path / "nowhere" / "out.jsonl")
    with pytest.raises(DataError, match="tells no format"):
        answer_file(Table(json_lines(["a"]), TEXT), job, tmp_path / "out.doc")
    assert [path.name for path in tmp_path.iterdir()] == ["texts.jsonl"]
    with pytest.raises(DataError, match="that can be used: no key 'body'"):
        answer_file(Table(json_lines(["a"]), Columns(text="body")), job, output, effort=Effort(refuse="skip"))


def test_a_full_disk_loses_nothing(
    tmp_path: Path, classifier: Path, texts: list[str], json_lines: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, job, output = Table(json_lines(texts), TEXT), Predict(model=classifier), tmp_path / "out.jsonl"
    with monkeypatch.context() as patch:
        written = drafts.written_aside

        def full(path: Path) -> Any:
            if path.name == "00000002.part":
                raise OSError(errno.ENOSPC, "No space left on device")
            return written(path)

        patch.setattr(drafts, "written_aside", full)
        with pytest.raises(DataError, match=r"cannot be written \(No space left on device\); once"):
            answer_file(table, job, output, effort=Effort(rows=20))
    done = answer_file(table, job, output, effort=Effort(rows=20))
    assert (done.rows, done.new_rows) == (100, 60)


def test_what_is_no_draft_is_left_alone(tmp_path: Path, classifier: Path, json_lines: Write) -> None:
    output = tmp_path / "out.jsonl"
    partial(output).mkdir()
    (partial(output) / "mine").touch()
    with pytest.raises(DataError, match="something else than parts"):
        answer_file(Table(json_lines(["a"]), TEXT), Predict(model=classifier), output, effort=Effort(overwrite=True))
    assert (partial(output) / "mine").exists()


def test_settings_that_cannot_be_meant_are_refused() -> None:
    for wrong in ({"rows": 0}, {"workers": -1}, {"refuse": "ignore"}, {"workers": 2, "engine": iter}):
        with pytest.raises(ConfigError):
            Effort(**wrong)  # type: ignore[arg-type]


PROGRAM = """
import sys
from plm.bulk import Effort, Embed, Table, answer_file
from plm.data import Columns

if __name__ == "__main__":
    model, file, output, workers = sys.argv[1:]
    answer_file(
        Table(file, Columns(text="text")), Embed(model=model), output, effort=Effort(workers=int(workers), rows=50)
    )
"""


@pytest.fixture
def begin(tmp_path: Path, classifier: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts a program that embeds a file."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    begun: list[subprocess.Popen[bytes]] = []

    def start(file: Path, output: Path, workers: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(program), str(classifier), str(file), str(output), str(workers)]
        begun.append(
            subprocess.Popen(command, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(Path.cwd())})
        )
        return begun[-1]

    yield start
    for process in begun:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("workers", [0, 1])
def test_a_kill_at_any_moment_loses_and_repeats_no_row(
    tmp_path: Path, classifier: Path, texts: list[str], json_lines: Write, begin: Any, workers: int
) -> None:
    path, output = json_lines(texts * 200), tmp_path / "out.npy"
    process = begin(path, output, workers)
    deadline = time.monotonic() + 60
    while len(list(partial(output).glob("*.json"))) < 4:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not output.exists()
    done = answer_file(Table(path, TEXT), Embed(model=classifier), output, effort=Effort(rows=50))
    assert done.rows == 20000 > done.new_rows
    answer_file(Table(path, TEXT), Embed(model=classifier), tmp_path / "whole.npy", effort=Effort(rows=50))
    assert output.read_bytes() == (tmp_path / "whole.npy").read_bytes()
