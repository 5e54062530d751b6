"""Pipelines: from texts to answers, in batches by length without padding, in the order given.

find = pipeline("ner", "runs/conll2003")
find("Angela Merkel lives in Berlin.")   # [[{"type": "PER", "text": "Angela Merkel", "start": 0, ...}, ...]]

A third party adds a row to TASKS: a Task for what one output of a text answers, a Form for a task of plm.tasks.
"""

from __future__ import annotations

import plm.pipelines.classes  # its import adds rows to TASKS, as those below do
import plm.pipelines.entities
import plm.pipelines.generation
import plm.pipelines.questions
from plm.pipelines.asking import Form, TaskPipeline
from plm.pipelines.batching import TOKENS_PER_BATCH, Encoded, batches_by_length
from plm.pipelines.front import pipeline
from plm.pipelines.source import TASKS, PipelineTask, Source
from plm.pipelines.texts import Pipeline, Task, Text, label_and_score, mean_state, states

__all__ = [
    "TASKS",
    "TOKENS_PER_BATCH",
    "Encoded",
    "Form",
    "Pipeline",
    "PipelineTask",
    "Source",
    "Task",
    "TaskPipeline",
    "Text",
    "batches_by_length",
    "label_and_score",
    "mean_state",
    "pipeline",
    "states",
]
