"""Onlookers write down what happened."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from plm.training import CurvePlot, History, JsonLines, ProgressBar, Record, Trainer
from plm.training.callbacks import Callback
from plm.training.run import Run
from tests.training.tiny import TinyBatches, TinyModel, config


def run_with(*callbacks: Callback, **values: object) -> tuple[Record, ...]:
    settings = config(eval_strategy="epoch", log_every=2, **values)
    trainer = Trainer(
        TinyModel(), settings, batches=TinyBatches(), evaluate=lambda model: {"accuracy": 0.5}, callbacks=callbacks
    )
    return trainer.train().history


def test_history_averages_over_log_every_updates_and_closes_before_evaluations() -> None:
    every = History()
    history = run_with(every, num_train_epochs=1)
    assert [(record.kind, record.update) for record in history] == [
        ("train", 2),
        ("train", 4),
        ("train", 5),
        ("evaluation", 5),
    ]
    assert list(history) == every.records
    assert history[0].values["tokens_per_second"] > 0


def test_history_takes_means_and_the_last_learning_rate() -> None:
    history, run = History(), Run(config(log_every=2), total_updates=4)
    history.on_start(run)
    for update, values in enumerate([{"loss": 1.0, "learning_rate": 0.1}, {"loss": 3.0, "learning_rate": 0.2}], 1):
        history.on_step(run, Record("train", update, 0.0, 10 * update, 2.0 * update, values))
    assert history.records[0].values == {"loss": 2.0, "learning_rate": 0.2, "tokens_per_second": 5.0}


def test_an_unfinished_record_is_closed_at_the_end() -> None:
    history, run = History(), Run(config(log_every=5), total_updates=9)
    history.on_start(run)
    history.on_step(run, Record("train", 1, 0.0, 1, 1.0, {"loss": 1.0, "learning_rate": 0.1}))
    history.on_stop(run)
    assert [record.update for record in history.records] == [1]


def test_json_lines_hold_the_history(tmp_path: Path) -> None:
    history = run_with(JsonLines(tmp_path / "logs" / "log.jsonl"))
    lines = [json.loads(line) for line in (tmp_path / "logs" / "log.jsonl").read_text().splitlines()]
    assert [(line["kind"], line["update"]) for line in lines] == [(record.kind, record.update) for record in history]
    assert lines[0]["loss"] == history[0].values["loss"]
    assert set(lines[-1]) == {"kind", "update", "epoch", "tokens", "seconds", "accuracy"}


def test_json_lines_write_what_is_not_finite_as_null(tmp_path: Path) -> None:
    log, run = JsonLines(tmp_path / "log.jsonl"), Run(config(), total_updates=1)
    log.on_start(run)
    log.on_evaluate(run, run.record("evaluation", {"a": math.nan, "b": -math.inf, "c": 1.0}))
    log.on_stop(run)
    line = json.loads((tmp_path / "log.jsonl").read_text())
    assert (line["a"], line["b"], line["c"]) == (None, None, 1.0)


def test_progress_bar_is_silent_without_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    run_with(ProgressBar())
    assert capsys.readouterr() == ("", "")


def test_progress_bar_shows_loss_rate_and_tokens(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    run_with(ProgressBar())
    shown = capsys.readouterr()
    for part in ("training", "10/10", "loss=", "lr=", "tokens/s="):
        assert part in shown.err
    assert "update 5, epoch 1.00: accuracy 0.5000" in shown.out + shown.err


@pytest.mark.parametrize(("suffix", "mark"), [(".png", b"\x89PNG"), (".svg", b"<?xml")])
def test_curves_are_drawn(tmp_path: Path, suffix: str, mark: bytes) -> None:
    pytest.importorskip("matplotlib", reason='needs the extra "plot"')
    run_with(CurvePlot(tmp_path / "plots" / f"curves{suffix}"))
    assert (tmp_path / "plots" / f"curves{suffix}").read_bytes().startswith(mark)
    assert len(list((tmp_path / "plots").iterdir())) == 1
