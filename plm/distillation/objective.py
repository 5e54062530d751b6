"""What a student is to learn from its teacher, and how much each part of it counts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from plm.config import require_types
from plm.distillation.match import MATCHES, LayerMatch
from plm.errors import ConfigError

WEIGHTS = ("attention", "hidden", "embedding", "prediction", "labels")


@dataclass(frozen=True, kw_only=True)
class Objective:
    """The parts of the loss, which a recipe file can hold. The defaults are TinyBERT's intermediate stage.

    attention: weight of the squared distance of attention scores before the softmax, summed over the matched blocks.
    hidden: weight of that of hidden states, summed over the matched blocks.
    embedding: weight of that of the embeddings' output.
    prediction: weight of the distance of predictions: soft cross-entropy, or the squared distance of scores.
    labels: weight of the student's own loss on the labels in the data.
    layers: name in MATCHES of the match of blocks.
    teacher_layers: in its place, the teacher's block for each block of the student, from 1; 0 = learns from none.
    temperature: logits of both are divided by it before the softmax.
    scales_by_temperature: True = the soft cross-entropy is multiplied by temperature^2, so that its gradients keep
        their size (Hinton et al. 2015). TinyBERT does not.
    unequal_heads: where student and teacher have other numbers of attention heads: "skip" = their scores are not
        compared; "mean" = the means over the heads are.
    reduction: what a mean is taken over. "mean" = what is real: tokens, and pairs of tokens that may see each other.
        "noah" = as Huawei's code does: padding counts as tokens, scores up to -100 as 0, and the soft cross-entropy is
        divided by the number of classes.
    """

    attention: float = 1.0
    hidden: float = 1.0
    embedding: float = 1.0
    prediction: float = 0.0
    labels: float = 0.0
    layers: str = "uniform"
    teacher_layers: tuple[int, ...] | None = None
    temperature: float = 1.0
    scales_by_temperature: bool = False
    unequal_heads: Literal["skip", "mean"] = "skip"
    reduction: Literal["mean", "noah"] = "mean"

    def __post_init__(self) -> None:
        require_types(self)
        for name in WEIGHTS:
            if not 0.0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"{name}: expected a weight of at least 0, got {getattr(self, name)}")
        if not any(getattr(self, name) for name in WEIGHTS):
            raise ConfigError(f"all weights are 0 ({', '.join(WEIGHTS)}): there is nothing to learn")
        if not 0.0 < self.temperature < math.inf:
            raise ConfigError(f"temperature: expected a positive number, got {self.temperature}")
        MATCHES.get(self.layers)

    @property
    def looks_inside(self) -> bool:
        """True = inner values are compared, not predictions alone."""
        return bool(self.attention or self.hidden or self.embedding)

    def match(self, *, student: int, teacher: int) -> LayerMatch:
        """Who learns from whom, for so many blocks. Raises ConfigError where that cannot be."""
        if self.teacher_layers is None:
            return LayerMatch.named(self.layers, student=student, teacher=teacher)
        match = LayerMatch(self.teacher_layers)
        match.check(student=student, teacher=teacher)
        return match


INTERMEDIATE = Objective()
"""TinyBERT's general distillation, and the first stage of its task distillation."""

PREDICTION = Objective(attention=0.0, hidden=0.0, embedding=0.0, prediction=1.0)
"""The second stage of TinyBERT's task distillation."""
