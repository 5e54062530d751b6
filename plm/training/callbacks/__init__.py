"""Onlookers of a run: progress bar, history, log files, curves. They may read everything and ask the run to stop."""

from __future__ import annotations

from plm.training.callbacks.callback import Callback, CallbackList, History
from plm.training.callbacks.curves import CurvePlot
from plm.training.callbacks.files import CommaSeparated, JsonLines
from plm.training.callbacks.progress import ProgressBar
from plm.training.callbacks.tensorboard import TensorBoard

__all__ = [
    "Callback",
    "CallbackList",
    "CommaSeparated",
    "CurvePlot",
    "History",
    "JsonLines",
    "ProgressBar",
    "TensorBoard",
]
