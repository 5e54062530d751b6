"""The bar shows what matters, on terminals only."""

from __future__ import annotations

import sys

import pytest

from plm.training import ProgressBar, Run, Trainer
from tests.training.tiny import TinyBatches, TinyModel, config


def run_with_bar() -> None:
    Trainer(
        TinyModel(),
        config(eval_strategy="epoch"),
        batches=TinyBatches(),
        evaluate=lambda model: {"accuracy": 0.5},
        callbacks=[ProgressBar()],
    ).train()


def pretend_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Called in the test itself: capsys brings a new stderr for setup and for the test."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)


def test_it_is_silent_without_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    run_with_bar()
    assert capsys.readouterr() == ("", "")


def test_it_shows_loss_rate_and_tokens(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_terminal(monkeypatch)
    run_with_bar()
    shown = capsys.readouterr()
    for part in ("training", "10/10", "loss=", "lr=", "tokens/s="):
        assert part in shown.err
    assert "update 5, epoch 1.00: accuracy 0.5000" in shown.out + shown.err


def test_it_starts_where_a_continued_run_does(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_terminal(monkeypatch)
    bar, run = ProgressBar(), Run(config(), total_updates=9, update=4)
    bar.on_start(run)
    bar.on_stop(run)
    assert "4/9" in capsys.readouterr().err
