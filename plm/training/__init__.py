"""Training: one loop, many steps."""

from __future__ import annotations

from plm.training.adam import BertAdam, OpenAIAdam
from plm.training.callbacks import Callback, CurvePlot, History, JsonLines, ProgressBar
from plm.training.config import TrainingConfig
from plm.training.evaluation import Evaluation, outputs, predict
from plm.training.lamb import Lamb
from plm.training.optimizers import OPTIMIZERS, build_optimizer
from plm.training.parameter_groups import freeze, parameter_groups
from plm.training.precision import PRECISIONS, Precision
from plm.training.run import Record, Run, TrainingReport
from plm.training.schedules import SCHEDULES, Phase, Schedule
from plm.training.step import Batch, Step, StepResult, SupervisedStep
from plm.training.trainer import Trainer, TrainingBatches

__all__ = [
    "OPTIMIZERS",
    "PRECISIONS",
    "SCHEDULES",
    "Batch",
    "BertAdam",
    "Callback",
    "CurvePlot",
    "Evaluation",
    "History",
    "JsonLines",
    "Lamb",
    "OpenAIAdam",
    "Phase",
    "Precision",
    "ProgressBar",
    "Record",
    "Run",
    "Schedule",
    "Step",
    "StepResult",
    "SupervisedStep",
    "Trainer",
    "TrainingBatches",
    "TrainingConfig",
    "TrainingReport",
    "build_optimizer",
    "freeze",
    "outputs",
    "parameter_groups",
    "predict",
]
