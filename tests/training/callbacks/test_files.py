"""Files hold the history, each entry once, whatever happened to them."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pytest

from plm.training import Callback, CommaSeparated, JsonLines, Record, Run, Trainer
from tests.training.tiny import TinyBatches, TinyModel, config


def run_with(*callbacks: Callback) -> tuple[Record, ...]:
    settings = config(eval_strategy="epoch", log_every=2)
    trainer = Trainer(
        TinyModel(), settings, batches=TinyBatches(), evaluate=lambda model: {"accuracy": 0.5}, callbacks=callbacks
    )
    return trainer.train().history


def json_lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_json_lines_hold_the_history(tmp_path: Path) -> None:
    history = run_with(JsonLines(tmp_path / "logs" / "log.jsonl"))
    lines = json_lines(tmp_path / "logs" / "log.jsonl")
    assert [(line["kind"], line["update"]) for line in lines] == [(record.kind, record.update) for record in history]
    assert lines[0]["loss"] == history[0].values["loss"]
    assert set(lines[-1]) == {"kind", "update", "epoch", "tokens", "seconds", "accuracy"}


def test_json_lines_write_what_is_not_finite_as_null(tmp_path: Path) -> None:
    log, run = JsonLines(tmp_path / "log.jsonl"), Run(config(), total_updates=1)
    log.on_start(run)
    log.on_log(run, run.record("evaluation", {"a": math.nan, "b": -math.inf, "c": 1.0}))
    log.on_stop(run)
    [line] = json_lines(tmp_path / "log.jsonl")
    assert (line["a"], line["b"], line["c"]) == (None, None, 1.0)


def test_rows_hold_the_history_with_a_column_for_every_value(tmp_path: Path) -> None:
    history = run_with(CommaSeparated(tmp_path / "log.csv"))
    found = rows(tmp_path / "log.csv")
    assert [(row["kind"], int(row["update"])) for row in found] == [(record.kind, record.update) for record in history]
    assert [float(row["loss"]) for row in found if row["loss"]] == [
        record.values["loss"] for record in history if record.kind == "train"
    ]
    assert [row["accuracy"] for row in found if row["accuracy"]] == ["0.5", "0.5"]


@pytest.mark.parametrize("kind", [JsonLines, CommaSeparated])
@pytest.mark.parametrize("before", ["", "lines of after the checkpoint\nand half a li"])
def test_a_continued_run_has_every_entry_once(
    tmp_path: Path, kind: type[JsonLines] | type[CommaSeparated], before: str
) -> None:
    path, whole = tmp_path / "log", tmp_path / "whole"
    history = run_with(kind(whole))
    path.write_text(before)
    run = Run(config(), total_updates=10, history=list(history[:4]), resumed_update=5)
    log = kind(path)
    log.on_start(run)
    for record in history[4:]:
        run.history.append(record)
        log.on_log(run, record)
    log.on_stop(run)
    assert path.read_text() == whole.read_text()
