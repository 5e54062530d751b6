"""Classification that tells the probabilities of all classes besides its answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from plm.data.readers import Example
from plm.models.config import ModelConfig
from plm.pipelines.batching import Array
from plm.pipelines.classes import TextClassification
from plm.pipelines.source import TASKS
from plm.pipelines.texts import label_and_score
from plm.tasks import Gpt1Classification
from plm.tasks.classification import Decision


def classification() -> TextClassification:
    """The row of TASKS for classes; its answers have also "scores", {label: probability}, the likeliest first.

    Where several classes may apply each has a probability of its own; a number stands there as it is.
    """
    row = TASKS.get("text-classification")
    assert isinstance(row, TextClassification)
    tell = row.marked.tell

    def of_logits(logits: Array, config: ModelConfig) -> dict[str, Any]:
        return label_and_score(logits, config) | {"scores": _scores(config.labels, _chances(logits, config))}

    def of_decision(question: Any, example: Example, answer: Decision, task: Gpt1Classification) -> dict[str, Any]:
        told: dict[str, Any] = tell(question, example, answer, task)
        return told | {"scores": _scores(task.labels or (), _softmax(np.asarray(answer.logits)))}

    return dataclasses.replace(row, answer=of_logits, marked=dataclasses.replace(row.marked, tell=of_decision))


def _chances(logits: Array, config: ModelConfig) -> Array:
    """As label_and_score understands the logits."""
    if config.problem_type == "regression" or len(logits) == 1:
        return logits
    if config.problem_type == "multi_label_classification":
        return np.asarray(0.5 + 0.5 * np.tanh(logits / 2))
    return _softmax(logits)


def _softmax(logits: Array) -> Array:
    chances = np.exp(logits - logits.max())
    return np.asarray(chances / chances.sum())


def _scores(labels: Sequence[str], chances: Array) -> dict[str, float]:
    return {labels[place]: float(chances[place]) for place in np.argsort(-chances, kind="stable")}
