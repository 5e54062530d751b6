"""Tasks: what a model is fine-tuned for, from files to scores."""

from __future__ import annotations

from plm.tasks.classification import Classification, Decision
from plm.tasks.task import TASKS, AnyTask, Task

__all__ = ["TASKS", "AnyTask", "Classification", "Decision", "Task"]
