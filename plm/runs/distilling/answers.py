"""What the teacher of a task answers to its training examples, kept for later passes and other distillations."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from plm.auto.model import PretrainedModel
from plm.data import Batches
from plm.data.cache import fingerprint
from plm.distillation import Answers, Objective, Teacher
from plm.distillation.answers import require_predictions_alone
from plm.errors import ConfigError
from plm.runs.distilling.models import Opened
from plm.runs.distilling.texts import TaskTexts
from plm.tasks.task import Task
from plm.training import Precision
from plm.training.distributed import Processes


def require_keepable(texts: TaskTexts, objective: Objective, teacher: PretrainedModel) -> None:
    """Raise ConfigError where answers of a teacher would not serve again: inner values, texts that change."""
    try:
        require_predictions_alone(objective, teacher)
    except ConfigError as error:
        raise ConfigError(f"teacher_cache: {error}") from None
    if type(texts.task).vary is not Task.vary:
        raise ConfigError("teacher_cache: every epoch has these texts in another form; leave it out")


def kept_answers(
    texts: TaskTexts,
    batches: Batches[Any],
    teacher: Opened,
    *,
    file: Path,
    folder: str | None,
    precision: Precision,
    processes: Processes,
) -> Answers | None:
    """Those to the training examples; see Answers.kept. Every process calls this.

    file: that the examples were read from. folder: None = nothing is kept.
    """
    if folder is None:
        return None
    options = {
        "teacher": teacher.digest,
        "precision": precision,
        "task": json.loads(json.dumps(dataclasses.asdict(texts.task))),  # type: ignore[call-overload]
        "max_length": texts.max_length,
    }
    key = processes.by_main(lambda: fingerprint(files=[file], tokenizer=texts.tokenizer, options=options))
    return Answers.kept(
        Teacher(teacher.model),
        batches,
        folder=folder,
        key=key[:40],
        precision=precision,
        processes=processes,
    )
