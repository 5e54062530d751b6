"""A sweep ends where somebody ends one of its runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from plm.errors import TrainingError
from plm.runs import RunConfig, RunReport, TaskData, sweep
from plm.tasks import Classification
from plm.training import TrainingReport


@pytest.mark.parametrize("reason", ["interrupted", "terminated"])
def test_after_a_run_that_was_stopped_there_is_no_other(
    reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []

    def stopped(config: RunConfig, **options: object) -> RunReport:
        started.append(config.training.seed)
        training = TrainingReport(reason, 1, 0.5, 0, {}, (), 1.0, 10, 10.0)
        return RunReport(output_dir=Path(config.output_dir), scores={}, training=training, parameters=1)

    monkeypatch.setattr(sweep, "train", stopped)
    config = RunConfig(
        model="m", output_dir=str(tmp_path / "out"), task=TaskData(task=Classification(), train="a", dev="b")
    )
    with pytest.raises(TrainingError, match=f"seed-1: the run was {reason}, the sweep ends here"):
        sweep.sweep(config, seeds=[1, 2])
    assert started == [1]
