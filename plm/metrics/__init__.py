"""Metrics: predictions against references, and the baselines that models must beat."""

from __future__ import annotations

from plm.metrics.baselines import NaiveBayes, characters, majority, words
from plm.metrics.classification import (
    DEFAULT_METRICS,
    GLUE_METRICS,
    METRICS,
    Metric,
    ProblemType,
    compute_metrics,
    confusion_matrix,
    decide,
)
from plm.metrics.entities import Entity, EntityScore, EntityScores, score_entities, token_accuracy

__all__ = [
    "DEFAULT_METRICS",
    "GLUE_METRICS",
    "METRICS",
    "Entity",
    "EntityScore",
    "EntityScores",
    "Metric",
    "NaiveBayes",
    "ProblemType",
    "characters",
    "compute_metrics",
    "confusion_matrix",
    "decide",
    "majority",
    "score_entities",
    "token_accuracy",
    "words",
]
