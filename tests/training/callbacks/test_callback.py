"""Onlookers are told in order, and their states find their way back."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import pytest

from plm.training import Callback, History, Record, Run, Trainer
from plm.training.callbacks import CallbackList
from tests.training.tiny import TinyBatches, TinyModel, config


def test_the_history_holds_means_and_evaluations_after_the_updates_before_them() -> None:
    every = History()
    report = Trainer(
        TinyModel(),
        config(eval_strategy="epoch", log_every=2, num_train_epochs=1),
        batches=TinyBatches(),
        evaluate=lambda model: {"accuracy": 0.5},
        callbacks=[every],
    ).train()
    expected = [("train", 2), ("train", 4), ("train", 5), ("evaluation", 5)]
    assert [(record.kind, record.update) for record in report.history] == expected
    assert tuple(every.records) == report.history


def test_updates_before_an_error_are_in_the_history() -> None:
    class Failing(Callback):
        def on_step(self, run: Run, record: Record) -> None:
            if record.update == 4:
                raise RuntimeError("enough")

    seen = History()
    with pytest.raises(RuntimeError, match="enough"):
        Trainer(TinyModel(), config(log_every=3), batches=TinyBatches(), callbacks=[seen, Failing()]).train()
    assert [record.update for record in seen.records] == [3]


class Holding(Callback):
    """Remembers a number."""

    def __init__(self, number: int = 0) -> None:
        self.number = number

    def state_dict(self) -> dict[str, int]:
        return {"number": self.number}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        self.number = state_dict["number"]


def test_callbacks_of_one_class_are_told_apart_by_their_order() -> None:
    states = CallbackList([Holding(1), History(), Holding(2)]).state_dict()
    assert states == {"Holding 0": {"number": 1}, "Holding 1": {"number": 2}}
    first, second = Holding(), Holding()
    CallbackList([first, second, History()]).load_state_dict(states)
    assert (first.number, second.number) == (1, 2)


def test_a_state_without_its_callback_is_not_dropped_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        CallbackList([History()]).load_state_dict({"Holding 0": {"number": 1}})
    assert "a state of the callback Holding 0, which the run no longer has" in caplog.text
