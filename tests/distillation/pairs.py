"""Students, teachers and batches for the tests of distillation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from plm.heads.model import Model, build_model
from plm.models.config import default_labels
from plm.models.tinybert import TinyBertConfig
from tests.models.closed_form import fill
from tests.tiny_models import mask_of, random_ids, tiny_model

Batch = Mapping[str, Tensor]

TEACHER: dict[str, Any] = {"hidden_size": 24, "num_hidden_layers": 4, "intermediate_size": 28}


def teacher_of(family: str = "bert", *heads: str, **changes: Any) -> Model:
    """Four blocks of width 24 with three heads, in training mode, with dropout: whoever asks it has to care."""
    dropout = {"hidden_dropout_prob": 0.4, "attention_probs_dropout_prob": 0.4}
    return tiny_model(family, *heads, seed=1, **{**TEACHER, **dropout, **_unfitted(family), **changes})


def student_of(family: str = "tinybert", *heads: str, **changes: Any) -> Model:
    """Two blocks of width 12 with three heads, without projection layers and without dropout."""
    return tiny_model(family, *heads, **{**_unfitted(family), **changes})


def _unfitted(family: str) -> dict[str, Any]:
    return {"fit": "none", "fit_size": None} if family == "tinybert" else {}


def golden_pair(**changes: Any) -> tuple[Model, Model]:
    """Student and teacher whose distances are known: weights by a formula, three classes, layers into 16 dimensions.

    changes: of both configs.
    """
    sizes = ({"hidden_size": 8, "num_hidden_layers": 2, "intermediate_size": 12},
             {"hidden_size": 16, "num_hidden_layers": 4, "intermediate_size": 32})  # fmt: skip
    student, teacher = (_golden(**each, **changes) for each in sizes)
    return student, teacher


def _golden(**sizes: Any) -> Model:
    common: dict[str, Any] = {
        "vocab_size": 20,
        "num_attention_heads": 2,
        "max_position_embeddings": 16,
        "id2label": default_labels(3),
        "fit": "shared",
        "fit_size": 16,
    }
    return fill(build_model(TinyBertConfig(**common | sizes), ("sequence_classification", "hidden_projection")))


def batch_of(*spans: tuple[int, int], length: int = 9, seed: int = 0) -> dict[str, Tensor]:
    """A text for each span of real tokens; what stands at padding are words like any others."""
    spans = spans or ((0, 9), (0, 4), (0, 4), (0, 7), (2, 8))
    ids = random_ids(len(spans), length, seed=seed)
    mask = mask_of(length, *spans)
    types = (torch.arange(length) > 2).long().expand(len(spans), -1).contiguous()
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}


def rows_of(batch: Batch, *rows: int) -> dict[str, Tensor]:
    """Some of the texts."""
    return {name: tensor[list(rows)] for name, tensor in batch.items()}
