"""What counts as the best evaluation."""

from __future__ import annotations

import math

import pytest

from plm.errors import TrainingError
from plm.training.course import Place
from plm.training.run import Run, TrainingReport
from tests.training.tiny import config


def judged(values: list[float], name: str = "accuracy", **settings: object) -> list[bool]:
    run = Run(config(**settings), total_updates=10)
    return [run.judge({name: value}) for value in values]


def test_higher_is_better_except_for_losses() -> None:
    assert judged([0.5, 0.4, 0.6]) == [True, False, True]
    assert judged([0.5, 0.4, 0.6], name="eval_loss") == [True, True, False]
    assert judged([0.5, 0.4, 0.6], greater_is_better=False) == [True, True, False]


def test_equal_is_not_better_and_nan_never_best() -> None:
    assert judged([math.nan, 0.5, 0.5, math.nan, 0.6]) == [False, True, False, False, True]


def test_the_first_metric_decides_unless_one_is_named() -> None:
    run = Run(config(), total_updates=1)
    assert run.judge({"f1": 0.5, "accuracy": 0.9})
    assert not run.judge({"f1": 0.4, "accuracy": 1.0})
    assert run.best_metrics == {"f1": 0.5, "accuracy": 0.9}
    assert run.evaluations_since_best == 1
    named = Run(config(metric_for_best="accuracy"), total_updates=1)
    assert named.judge({"f1": 0.5, "accuracy": 0.9})
    assert named.judge({"f1": 0.4, "accuracy": 1.0})


def test_a_missing_metric_lists_what_there_is() -> None:
    with pytest.raises(TrainingError, match=r"must return 'mcc' to tell the best weights; it returned: 'f1', 'loss'"):
        Run(config(metric_for_best="mcc"), total_updates=1).judge({"f1": 0.5, "loss": 1.0})
    with pytest.raises(TrainingError, match="it returned: nothing"):
        Run(config(), total_updates=1).judge({})


def test_the_first_reason_to_stop_is_kept() -> None:
    run = Run(config(), total_updates=1)
    run.request_stop("enough")
    run.request_stop("late")
    assert run.stop_reason == "enough"


def test_programs_exit_as_shells_expect_of_them() -> None:
    codes = {}
    for reason in ("early stopping", "interrupted", "terminated", "enough"):
        run = Run(config(), total_updates=1, stop_reason=reason)
        codes[reason] = TrainingReport.of(run).exit_code
    assert codes == {"early stopping": 0, "interrupted": 130, "terminated": 143, "enough": 0}
    assert TrainingReport.of(Run(config(), total_updates=1)).exit_code == 0


def test_padding_is_told_from_positions() -> None:
    run = Run(config(), total_updates=1)
    assert run.padding_share == 0.0
    run.tokens, run.positions = 8, 12
    assert run.padding_share == pytest.approx(1 / 3)


def test_a_run_goes_on_from_its_state() -> None:
    run = Run(config(), total_updates=9, update=3, place=Place(1, 2), tokens=5, elapsed=2.0)
    run.judge({"accuracy": 0.5})
    run.history.append(run.record("evaluation", {"accuracy": 0.5}))
    other = Run(config(), total_updates=9)
    other.load_state_dict(run.state_dict())
    assert other.resumed_update == 3
    other.resumed_update = None
    assert other == run
