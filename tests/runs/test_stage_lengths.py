"""A stage that was begun may become longer; one that is finished stands."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from plm.errors import TrainingError
from plm.runs.distilling import DistillationConfig, distill
from plm.training import Callback, Record, Run
from tests.runs import distillations as data


class Updates(Callback):
    """Counts updates of the intermediate stage, and sends this process SIGTERM after some. stop: 0 = never."""

    def __init__(self, stop: int = 0) -> None:
        self.count, self.stop = 0, stop

    def on_step(self, run: Run, record: Record) -> None:
        assert run.output_dir is not None
        self.count += run.output_dir.name == "intermediate"
        if self.count == self.stop:
            os.kill(os.getpid(), signal.SIGTERM)


def test_a_stage_that_was_begun_goes_on_longer_and_a_finished_one_is_refused(tmp_path: Path) -> None:
    task = data.classification(tmp_path)
    values = data.recipe(tmp_path, data.trained_teacher(tmp_path, task, epochs=1), task, prediction=False)

    def distilled(epochs: int, name: str, *, stop: int = 0, rate: float = 1e-2, overwrite: bool = False) -> int:
        inner = {**values["intermediate"], "num_train_epochs": epochs, "learning_rate": rate}
        told = {**values, "intermediate": inner, "output_dir": str(tmp_path / name)}
        updates = Updates(stop)
        distill(DistillationConfig.from_dict(told), callbacks=[updates], overwrite=overwrite)
        return updates.count

    assert distilled(4, "whole") == 8
    assert distilled(2, "out", stop=3) == 3
    with pytest.raises(TrainingError, match=r"stage\.learning_rate: 0\.01 -> 0\.02"):
        distilled(4, "out", rate=2e-2)
    assert distilled(4, "out") == 8 - 3
    # The rate of this stage is constant, so nothing of the updates before depends on how many were planned.
    first, second = (tmp_path / name / "intermediate" / "model.safetensors" for name in ("whole", "out"))
    assert first.read_bytes() == second.read_bytes()
    with pytest.raises(TrainingError, match=r"stage\.num_train_epochs: 4\.0 -> 5\.0"):
        distilled(5, "out")
    assert distilled(2, "anew", stop=3) == 3
    assert distilled(4, "anew", overwrite=True) == 8
