"""The teacher: a model that answers and never learns, and what has to be true of it before anybody learns from it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch
from torch import Tensor

from plm.blocks.linear import pack
from plm.distillation.view import Question, Seen, View, look
from plm.errors import ConfigError
from plm.heads.model import Model
from plm.models.config import default_labels
from plm.tokenizers import Tokenizer
from plm.training.step import Batch

logger = logging.getLogger(__name__)


class Teacher:
    """A model in evaluation mode, asked without gradients: its dropout never acts.

    On CPUs its weights are kept a second time, in the layout of the matrix kernels, which is faster.
    """

    def __init__(self, model: Model) -> None:
        self.model = model.eval()
        pack(model)

    @torch.no_grad()
    def __call__(self, view: View, question: Question) -> Seen:
        """What the teacher holds and says; it comes to where the batch is."""
        device = view.inputs["input_ids"].device
        if self.model.device != device:
            self.model.to(device)
        return look(self.model.eval(), view, question)


def check_vocabulary(student: Tokenizer, teacher: Tokenizer) -> None:
    """Raise ConfigError unless both have the same tokens under the same ids."""
    own, theirs = student.get_vocab(), teacher.get_vocab()
    if own == theirs:
        return
    moved = sorted(token for token in own.keys() & theirs.keys() if own[token] != theirs[token])
    missing, foreign = sorted(theirs.keys() - own.keys()), sorted(own.keys() - theirs.keys())
    raise ConfigError(
        f"student and teacher must read the same ids: the student's vocabulary has {len(own)} tokens, the teacher's "
        f"{len(theirs)}; missing in the student's {_some(missing)}, in the teacher's {_some(foreign)}, under other "
        f"ids {_some(moved)}. Train the student with the teacher's tokenizer."
    )


def check_labels(labels: Sequence[str], teacher: Model, *, head: str | None = None, whose: str = "student") -> None:
    """Raise ConfigError unless the teacher has these classes in this order.

    labels: of the student, or of the data. head: of the teacher; None = the first. Of a teacher whose classes have no
    names (LABEL_0, ...) only their number can be checked, which is logged.
    """
    theirs = teacher.config.labels if head is None else teacher.head_config(head).labels
    nameless = tuple(default_labels(len(theirs)).values())
    if len(labels) == len(theirs) and nameless in (theirs, tuple(labels)):
        if theirs != tuple(labels):
            logger.warning("classes cannot be compared by name: the %s has %s, the teacher %s", whose, labels, theirs)
        return
    if tuple(labels) != theirs:
        other = "in another order" if sorted(labels) == sorted(theirs) else "others"
        raise ConfigError(
            f"labels: the teacher's classes are {other}: the {whose} has {', '.join(labels)}; the teacher has "
            f"{', '.join(theirs)}. Give the student, and its task, the labels of the teacher in that order."
        )


def check_deterministic(teacher: Teacher, batch: Batch) -> None:
    """Raise ConfigError unless two passes over a batch give the same states, to the bit."""
    question = Question(names=(teacher.model.tap_names()[-1],))
    view = View.padded(batch, pattern=teacher.model.backbone.pattern)
    first, second = (_values(teacher(view, question)) for _ in range(2))
    if not all(map(torch.equal, first, second)):
        raise ConfigError("the teacher answers differently when it is asked again: what it computes is random")


def _values(seen: Seen) -> list[Tensor]:
    return list(seen.values.values())


def _some(tokens: Sequence[str]) -> str:
    return ", ".join(map(repr, tokens[:4])) + (f" and {len(tokens) - 4} more" if len(tokens) > 4 else "") or "none"
