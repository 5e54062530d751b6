"""The Trainer distils like it does everything else: losses fall, and runs are continued, projection layers included."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from plm.data import Batches, Feature, batches_by_count, pad_batch
from plm.distillation import (
    INTERMEDIATE,
    PREDICTION,
    DistillationStep,
    Objective,
    Teacher,
    add_projection,
    drop_projection,
)
from plm.heads.model import Model
from plm.models.config import default_labels
from plm.models.init import initialize
from plm.training import Callback, History, Record, Run, Trainer, TrainingConfig
from tests.distillation.pairs import student_of, teacher_of

CLASSES = {"id2label": default_labels(3)}


def batches() -> Batches[Feature]:
    features = [Feature([1 + (5 * n + 3 * place) % 30 for place in range(3 + n % 7)], None, 0, n) for n in range(24)]
    lengths = [len(feature.input_ids) for feature in features]
    return Batches(
        features,
        plan=lambda epoch: batches_by_count(lengths, batch_size=8, seed=1, epoch=epoch),
        collate=partial(pad_batch, pad_token_id=0),
    )


def models(family: str) -> tuple[Model, Model]:
    """A student that knows nothing and a teacher with opinions."""
    student = student_of("bert", "sequence_classification", **CLASSES)
    initialize(student, std=0.1, generator=torch.Generator().manual_seed(0))
    add_projection(student, 24, generator=torch.Generator().manual_seed(0))
    teacher = teacher_of(family, "sequence_classification", **CLASSES)
    with torch.no_grad():  # random weights say nearly the same of every text
        logits = teacher.eval()(torch.arange(1, 25).view(24, 1).repeat(1, 4)).logits
        classifier = teacher.heads["sequence_classification"].get_submodule("classifier.linear")
        classifier.bias -= logits.mean(0)  # type: ignore[operator, assignment]
        for part in classifier.parameters():
            part *= 10.0
    return student, teacher


def trained(
    student: Model,
    teacher: Model,
    objective: Objective,
    *callbacks: Callback,
    folder: Path | None = None,
    **values: Any,
) -> Sequence[Record]:
    """The history of a run."""
    options: dict[str, Any] = {"learning_rate": 1e-2, "num_train_epochs": 20, "eval_strategy": "no", "log_every": 1}
    history = History()
    Trainer(
        student,
        TrainingConfig(**options | values),
        batches=batches(),
        step=DistillationStep(student, Teacher(teacher), objective),
        output_dir=folder,
        callbacks=[history, *callbacks],
    ).train()
    return history.records


def of_epoch(records: Sequence[Record], name: str) -> float:
    """The mean over the batches of an epoch."""
    return sum(record.values[name] for record in records) / len(records)


@pytest.mark.parametrize("family", ["bert", "nezha"])
def test_a_student_comes_to_imitate_its_teacher(family: str) -> None:
    student, teacher = models(family)
    inner = trained(student, teacher, INTERMEDIATE, num_train_epochs=12)
    for part in ("attention", "hidden", "embedding"):
        assert inner[-1].values[part] < 0.7 * inner[0].values[part], part
    drop_projection(student)
    said = trained(student, teacher, PREDICTION, num_train_epochs=30)
    assert of_epoch(said[-3:], "prediction") < 0.8 * of_epoch(said[:3], "prediction")
    assert of_epoch(said[-3:], "prediction.agreement") > of_epoch(said[:3], "prediction.agreement") + 0.3
    assert said[-1].values["loss"] == pytest.approx(said[-1].values["prediction"])


class StopAfter(Callback):
    """Ends a run early."""

    def __init__(self, update: int) -> None:
        self.update = update

    def on_step(self, run: Run, record: Record) -> None:
        if record.update == self.update:
            run.request_stop("enough")


def test_a_run_that_is_continued_ends_with_the_same_bits(tmp_path: Path) -> None:
    saving: dict[str, Any] = {"save_strategy": "steps", "save_steps": 2, "resume": "auto", "num_train_epochs": 2}
    whole, teacher = models("bert")
    trained(whole, teacher, INTERMEDIATE, folder=tmp_path / "whole", **saving)
    for stop in (3, 100):
        student, teacher = models("bert")
        trained(student, teacher, INTERMEDIATE, StopAfter(stop), folder=tmp_path / "parts", **saving)
    assert any("hidden_projection" in name for name in student.state_dict())
    for name, value in student.state_dict().items():
        assert torch.equal(value, whole.state_dict()[name]), name


@pytest.mark.parametrize("objective", [INTERMEDIATE, PREDICTION])
def test_half_precision_is_near_single(objective: Objective) -> None:
    first = {}
    for precision in ("fp32", "bf16"):
        student, teacher = models("nezha")
        first[precision] = trained(student, teacher, objective, num_train_epochs=1, precision=precision)[0].values
    assert first["bf16"]["loss"] == pytest.approx(first["fp32"]["loss"], rel=3e-2)
