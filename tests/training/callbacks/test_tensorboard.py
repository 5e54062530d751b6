"""TensorBoard finds the history, or a line that says how to get it."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path

import pytest

from plm.errors import BackendUnavailable
from plm.training import Run, TensorBoard
from tests.training.tiny import config

HAS_TENSORBOARD = importlib.util.find_spec("tensorboard") is not None


@pytest.mark.skipif(HAS_TENSORBOARD, reason="tensorboard is there")
def test_without_the_package_the_way_to_it_is_told() -> None:
    with pytest.raises(BackendUnavailable, match=r'needs the package .tensorboard.: pip install "plm\[tensorboard\]"'):
        TensorBoard("runs")


@pytest.mark.skipif(not HAS_TENSORBOARD, reason='needs the extra "tensorboard"')
def test_a_continued_run_hides_what_came_after_its_checkpoint(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the package itself, about numpy and protobuf
        for first, resumed in ((1, None), (3, 2)):
            board, run = TensorBoard(tmp_path), Run(config(), total_updates=9, update=first - 1, resumed_update=resumed)
            board.on_start(run)
            for update in range(first, first + 4):
                run.update = update
                board.on_log(run, run.record("train", {"loss": float(update * first)}))
            board.on_stop(run)
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        found = EventAccumulator(str(tmp_path)).Reload().Scalars("train/loss")
    assert [(event.step, event.value) for event in found] == [(1, 1), (2, 2), (3, 9), (4, 12), (5, 15), (6, 18)]
