"""Training: one loop, many steps."""

from __future__ import annotations

from plm.training.adam import BertAdam, OpenAIAdam
from plm.training.callbacks import (
    Callback,
    CommaSeparated,
    CurvePlot,
    History,
    JsonLines,
    ProgressBar,
    TensorBoard,
)
from plm.training.config import TrainingConfig
from plm.training.course import TrainingBatches
from plm.training.ema import ExponentialAverage
from plm.training.evaluation import Evaluation, outputs, predict
from plm.training.lamb import Lamb
from plm.training.losses import (
    CrossEntropy,
    LogitsLoss,
    LogitsStep,
    MultiLabelCrossEntropy,
    balanced_weights,
    supervised_step,
)
from plm.training.mixture_counts import MixtureCounts
from plm.training.mixture_evaluation import MixtureEvaluation
from plm.training.mixture_step import MixtureStep, OneHead
from plm.training.optimizers import OPTIMIZERS, build_optimizer
from plm.training.parameter_groups import freeze, parameter_groups
from plm.training.precision import PRECISIONS, Precision
from plm.training.report import MarkdownReport
from plm.training.run import EXIT_CODES, Record, Run, TrainingReport
from plm.training.schedules import SCHEDULES, Phase, Schedule
from plm.training.step import Batch, Step, StepResult, SupervisedStep
from plm.training.trainer import Trainer

__all__ = [
    "EXIT_CODES",
    "OPTIMIZERS",
    "PRECISIONS",
    "SCHEDULES",
    "Batch",
    "BertAdam",
    "Callback",
    "CommaSeparated",
    "CrossEntropy",
    "CurvePlot",
    "Evaluation",
    "ExponentialAverage",
    "History",
    "JsonLines",
    "Lamb",
    "LogitsLoss",
    "LogitsStep",
    "MarkdownReport",
    "MixtureCounts",
    "MixtureEvaluation",
    "MixtureStep",
    "MultiLabelCrossEntropy",
    "OneHead",
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
    "TensorBoard",
    "Trainer",
    "TrainingBatches",
    "TrainingConfig",
    "TrainingReport",
    "balanced_weights",
    "build_optimizer",
    "freeze",
    "outputs",
    "parameter_groups",
    "predict",
    "supervised_step",
]
