"""Distillation: a small model learns from a large one, its attention and hidden states as well as its predictions.

Source: Jiao et al. 2020, "TinyBERT: Distilling BERT for Natural Language Understanding".
"""

from __future__ import annotations

from plm.distillation.answers import Answers
from plm.distillation.augment_files import AugmentationReport, augment_file
from plm.distillation.augmentation import VARIANTS, Augmentation, Augmenter, variants_of
from plm.distillation.match import MATCHES, LayerMatch
from plm.distillation.objective import INTERMEDIATE, PREDICTION, Objective
from plm.distillation.predictions import DECISIONS, Decisions
from plm.distillation.projection import add_projection, drop_projection
from plm.distillation.step import DistillationStep
from plm.distillation.teacher import Teacher, check_deterministic, check_labels, check_vocabulary
from plm.distillation.word_vectors import WordVectors

__all__ = [
    "DECISIONS",
    "INTERMEDIATE",
    "MATCHES",
    "PREDICTION",
    "VARIANTS",
    "Answers",
    "Augmentation",
    "AugmentationReport",
    "Augmenter",
    "Decisions",
    "DistillationStep",
    "LayerMatch",
    "Objective",
    "Teacher",
    "WordVectors",
    "add_projection",
    "augment_file",
    "check_deterministic",
    "check_labels",
    "check_vocabulary",
    "drop_projection",
    "variants_of",
]
