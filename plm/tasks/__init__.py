"""Tasks: what a model is fine-tuned for, from files to scores."""

from __future__ import annotations

from plm.tasks.classification import Classification, Decision
from plm.tasks.gpt1 import Gpt1Classification, Gpt1MultipleChoice
from plm.tasks.masked_lm import MaskedLm
from plm.tasks.matching import Matching
from plm.tasks.multiple_choice import MultipleChoice
from plm.tasks.poems import Poems
from plm.tasks.question_answering import QuestionAnswering
from plm.tasks.tagging import Tagging
from plm.tasks.task import TASKS, AnyTask, Task

__all__ = [
    "TASKS",
    "AnyTask",
    "Classification",
    "Decision",
    "Gpt1Classification",
    "Gpt1MultipleChoice",
    "MaskedLm",
    "Matching",
    "MultipleChoice",
    "Poems",
    "QuestionAnswering",
    "Tagging",
    "Task",
]
