"""Linear layers that take a student's states to the width of its teacher: a head of the student while it learns.

They are parameters of the student, so a Trainer trains them, keeps them in its checkpoints and continues with them. A
TinyBERT is also saved with them (`fit_denses.N`, or `fit_dense` of the first release), as Huawei's releases are; other
families have no names for them in any format, so `drop_projection` comes before saving.
"""

from __future__ import annotations

import dataclasses
from typing import Literal, cast

import torch
from torch import Tensor

from plm.errors import ConfigError
from plm.heads.hidden_projection import HiddenProjection
from plm.heads.model import Model
from plm.heads.several import HeadPlan
from plm.models.init import initialize
from plm.models.tinybert import TinyBertConfig

HEAD = "hidden_projection"


def add_projection(
    student: Model,
    teacher_size: int,
    *,
    form: Literal["per_layer", "shared"] = "per_layer",
    generator: torch.Generator | None = None,
) -> None:
    """Give a student such layers, with random weights, if its width is not the teacher's and it has none yet.

    form: "per_layer" = one for the embeddings and one for each block; "shared" = one for all.
    Raises ConfigError when it has layers to another width.
    """
    config = student.config
    if (held := projection_of(student)) is not None:
        _require_size(held, teacher_size)
        return
    if config.hidden_size == teacher_size:
        return
    head = HiddenProjection(
        hidden_size=config.hidden_size,
        fit_size=teacher_size,
        shared=form == "shared",
        per_layer=config.num_hidden_layers + 1 if form == "per_layer" else 0,
    )
    initialize(head, std=config.initializer_range, generator=generator)
    head.to(student.device, student.dtype).train(student.training)
    student.heads[HEAD], student.plans[HEAD] = head, HeadPlan(HEAD)
    if isinstance(config, TinyBertConfig):
        student.config = dataclasses.replace(config, fit=form, fit_size=teacher_size)


def drop_projection(student: Model) -> None:
    """Take them away again, when the student has learned; nothing happens where there are none."""
    if projection_of(student) is None:
        return
    del student.heads[HEAD], student.plans[HEAD]
    if isinstance(student.config, TinyBertConfig):
        student.config = dataclasses.replace(student.config, fit="none", fit_size=None)


def projection_of(student: Model) -> HiddenProjection | None:
    """The student's layers; None = it has none."""
    return cast("HiddenProjection", student.heads[HEAD]) if HEAD in student.heads else None


def projected(student: Model, state: Tensor, layer: int) -> Tensor:
    """A state of the student at the width of the teacher: as it is where there are no projection layers.

    state: (..., hidden), the output of the embeddings (layer 0) or of block `layer`, counted from 1.
    """
    head = projection_of(student)
    return state if head is None else head.project(state, layer)


def require_projection(student: Model, teacher_size: int) -> None:
    """Raise ConfigError unless states of the student come out at this width."""
    if (held := projection_of(student)) is not None:
        _require_size(held, teacher_size)
    elif student.config.hidden_size != teacher_size:
        raise ConfigError(
            f"hidden_size: the student has {student.config.hidden_size}, the teacher {teacher_size}: call "
            f"add_projection(student, {teacher_size}) first"
        )


def _require_size(held: HiddenProjection, teacher_size: int) -> None:
    sizes = {len(parameter) for name, parameter in held.named_parameters() if name.endswith("weight")}
    if sizes != {teacher_size}:
        raise ConfigError(
            f"fit_size: the student's projection layers lead to {sorted(sizes)}, and the teacher's hidden size is "
            f"{teacher_size}: call drop_projection(student) first to have new ones"
        )
