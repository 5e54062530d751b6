"""A whole run of a task on small files, from a small model with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

from plm.runs import RunConfig, RunReport, TaskData, run, train
from plm.tasks import AnyTask
from plm.training import Callback, TrainingConfig
from tests.tiny_folders import tiny_folder


def learn(
    folder: Path, task: AnyTask, *, family: str, files: dict[str, str], epochs: float, **changes: Any
) -> RunReport:
    """Train what `folder / "out"` then holds. changes: fields of TaskData."""
    start = tiny_folder(folder / "start", family, hidden_size=32, num_attention_heads=2, intermediate_size=64)
    config = RunConfig(
        model=str(start),
        output_dir=str(folder / "out"),
        task=TaskData(task=task, **{"batch_size": 8, **files, **changes}),
        training=TrainingConfig(learning_rate=1e-2, num_train_epochs=epochs),
    )
    with mock.patch.object(run, "CurvePlot", return_value=Callback()):  # drawing takes longer than the training
        return train(config)
