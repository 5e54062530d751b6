"""Training runs: from a checkpoint and files to a folder that can be used at once.

    config = RunConfig(
        model="plm/tiny-en",
        output_dir="reviews",
        task=TaskData(task=Classification(), train="train.tsv", dev="dev.tsv"),
    )
    print(*train(config).lines(), sep="\\n")

`plm train` does the same with a TOML file, `plm finetune` with a classifier from options. `pretrain` and `plm pretrain`
teach a model language from a prepared corpus, `distill` and `plm distill` a small model what a large one knows.
"""

from __future__ import annotations

from plm.runs.config import RunConfig, TaskData, read_run
from plm.runs.distilling import DistillationConfig, distill, read_distillation
from plm.runs.evaluation import TaskEvaluation
from plm.runs.prediction import Prediction, predict
from plm.runs.pretraining import pretrain
from plm.runs.pretraining_config import PretrainingConfig, read_pretraining
from plm.runs.report import RunReport, predictions_table
from plm.runs.run import train

__all__ = [
    "DistillationConfig",
    "Prediction",
    "PretrainingConfig",
    "RunConfig",
    "RunReport",
    "TaskData",
    "TaskEvaluation",
    "distill",
    "predict",
    "predictions_table",
    "pretrain",
    "read_distillation",
    "read_pretraining",
    "read_run",
    "train",
]
