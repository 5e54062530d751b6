"""Training runs: from a checkpoint and files to a folder that can be used at once.

    config = RunConfig(
        model="plm/tiny-en",
        output_dir="reviews",
        task=TaskData(task=Classification(), train="train.tsv", dev="dev.tsv"),
    )
    print(*train(config).lines(), sep="\\n")

`plm train` does the same with a TOML file, `plm finetune` with a classifier from options.
"""

from __future__ import annotations

from plm.runs.config import RunConfig, TaskData, read_run
from plm.runs.evaluation import TaskEvaluation
from plm.runs.prediction import Prediction, predict
from plm.runs.report import RunReport, predictions_table
from plm.runs.run import train

__all__ = [
    "Prediction",
    "RunConfig",
    "RunReport",
    "TaskData",
    "TaskEvaluation",
    "predict",
    "predictions_table",
    "read_run",
    "train",
]
