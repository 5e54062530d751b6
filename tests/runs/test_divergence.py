"""A run is stopped when its loss is lost for good, and warned when it never learns; not for less."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import pytest

from plm.errors import ConfigError
from plm.runs.divergence import DIVERGED, LossWatch, Watch
from plm.training import Run, TrainingConfig
from plm.training.course import Place

QUICK = Watch(window=2, margin=1.0, patience=3, plateau=10, slack=0.3)


def watched(losses: Iterable[float], watch: LossWatch, *, phases: Iterable[int] | None = None) -> Run:
    """A run whose updates have these losses, in these phases, up to where it is asked to stop."""
    run = Run(TrainingConfig(), total_updates=1000)
    for loss, phase in zip(losses, phases or iter(int, 1), strict=False):
        run.update, run.place = run.update + 1, Place(phase, 0)
        watch.on_step(run, run.record("train", {"loss": loss, "words": loss}))
        if run.stop_reason is not None:
            break
    return run


def test_a_loss_far_above_its_lowest_for_long_stops_the_run() -> None:
    watch = LossWatch(QUICK)
    run = watched([5.0] * 5 + [9.0] * 10, watch)
    assert (run.stop_reason, run.update) == (DIVERGED, 8)  # means of two: 7, then 8 and more
    assert watch.notes[0].startswith("stopped at update 8: for 3 updates the loss has been more than 1 nats above")


@pytest.mark.parametrize(
    "losses",
    [
        [5.0] * 5 + [9.0] + [5.0] * 10,  # a spike
        [5.0] * 5 + [5.9] * 20,  # a little above
        [5.0 - 0.1 * number for number in range(30)],
    ],
)
def test_spikes_and_small_rises_do_not(losses: list[float]) -> None:
    assert watched(losses, LossWatch(QUICK)).stop_reason is None


def test_a_new_phase_may_have_a_higher_loss() -> None:
    losses, phases = [3.0] * 8 + [6.0] * 8, [0] * 8 + [1] * 8
    assert watched(losses, LossWatch(QUICK), phases=phases).stop_reason is None
    assert watched(losses, LossWatch(QUICK)).stop_reason == DIVERGED


def test_who_stays_where_guessing_is_gets_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    watch = LossWatch(QUICK, name="words", guessing=7.2)
    with caplog.at_level(logging.WARNING):
        assert watched([7.1] * 40, watch).stop_reason is None
    (note,) = watch.notes
    assert note.startswith("update 10: the loss, 7.10, is still that of guessing by how frequent words are, 7.20")
    assert [record.getMessage() for record in caplog.records] == watch.notes
    learning = LossWatch(QUICK, name="words", guessing=7.2)
    watched([7.1] * 5 + [6.5] * 30, learning)
    assert learning.notes == []


def test_a_continued_run_is_watched_as_if_it_had_not_stopped() -> None:
    losses = [5.0] * 5 + [9.0] * 10
    whole = LossWatch(QUICK)
    expected = watched(losses, whole)
    for cut in range(1, 8):
        first, second = LossWatch(QUICK), LossWatch(QUICK)
        watched(losses[:cut], first)
        second.load_state_dict(first.state_dict())
        run = Run(TrainingConfig(), total_updates=1000, update=cut)
        for loss in losses[cut:]:
            run.update += 1
            second.on_step(run, run.record("train", {"loss": loss}))
            if run.stop_reason is not None:
                break
        assert (run.stop_reason, run.update, second.notes) == (expected.stop_reason, expected.update, whole.notes)


def test_numbers_that_cannot_be_meant_are_refused() -> None:
    with pytest.raises(ConfigError, match="patience: expected a positive integer"):
        Watch(patience=0)
    with pytest.raises(ConfigError, match="margin: expected a positive number of nats"):
        Watch(margin=0.0)
