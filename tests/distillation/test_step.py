"""A student is drawn towards its teacher by a step of the one Trainer, exactly, and nothing else moves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

import plm.distillation.view
from plm.blocks.tap import Tap
from plm.distillation import INTERMEDIATE, DistillationStep, Objective, Teacher, add_projection
from plm.distillation.losses import states_distance
from plm.distillation.projection import projected
from plm.distillation.view import View
from plm.errors import ConfigError, TrainingError
from plm.heads.model import Model
from plm.models.config import default_labels
from plm.training import SupervisedStep
from plm.training.step import count_labels
from plm.training.tally import Tally
from tests.distillation.pairs import Batch, batch_of, rows_of, student_of, teacher_of
from tests.tolerances import assert_close

CLASSES = {"id2label": default_labels(3)}
EVERYTHING = Objective(attention=0.5, hidden=2.0, embedding=3.0, prediction=1.5, labels=0.7, temperature=2.0)

every_family = pytest.mark.parametrize("family", ["bert", "nezha"])


def pair(student: str = "tinybert", teacher: str = "bert", *heads: str, **changes: Any) -> tuple[Model, Model]:
    """With projection layers for the student. changes: of the student."""
    options = CLASSES if heads else {}
    models = student_of(student, *heads, **options, **changes), teacher_of(teacher, *heads, **options)
    add_projection(models[0], 24, generator=torch.Generator().manual_seed(3))
    return models


def step_of(models: tuple[Model, Model], objective: Objective = INTERMEDIATE, **options: Any) -> DistillationStep:
    return DistillationStep(models[0], Teacher(models[1]), objective, **options)


def gradients(model: Model, step: DistillationStep, batches: Sequence[Batch]) -> dict[str, Tensor]:
    """Of one update, as the Trainer has them."""
    model.zero_grad()
    tally = Tally([step.weigh(batch) for batch in batches])
    for batch in batches:
        loss = tally.add(step(model, batch))
        assert loss is not None
        loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def labelled(batch: Batch) -> dict[str, Tensor]:
    return {**batch, "labels": torch.tensor([0, 2, 1, 1, 0])[: len(batch["input_ids"])]}


def taken(model: Model, batch: Batch) -> Tap:
    """All inner values, in evaluation mode."""
    tap = Tap(model, *model.tap_names())
    model.eval()(**batch, tap=tap)
    return tap


def padded_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(View, "packed", classmethod(lambda cls, batch, *, pattern: None))


@every_family
def test_the_parts_are_means_over_what_is_real(family: str) -> None:
    student, teacher = pair("tinybert", family)
    batch, step = batch_of(), step_of((student, teacher))
    losses = step(student, batch).losses
    own, theirs = taken(student, batch), taken(teacher, batch)
    live = batch["attention_mask"] == 1
    pairs = (live[:, None, :, None] & live[:, None, None, :]).expand(-1, 3, -1, -1)
    attention, hidden = [], []
    for number, taught_by in enumerate((1, 3)):
        scores = (f"blocks.{n}.scores" for n in (number, taught_by))
        attention.append((own[next(scores)] - theirs[next(scores)]).square()[pairs].mean())
        state = projected(student, own[f"blocks.{number}.output"], number + 1)
        hidden.append((state - theirs[f"blocks.{taught_by}.output"]).square()[live].mean())
    embedding = (projected(student, own["embeddings"], 0) - theirs["embeddings"]).square()[live].mean()
    assert_close(losses["attention"], sum(attention))
    assert_close(losses["hidden"], sum(hidden))
    assert_close(losses["embedding"], embedding)
    assert step.weigh(batch) == {
        "attention": sum(n * n for n in (9, 4, 4, 7, 6)),
        "hidden": 30,
        "embedding": 30,
    }


@every_family
def test_everything_in_the_student_learns_and_nothing_in_the_teacher(family: str) -> None:
    student, teacher = pair("tinybert", family)
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    found = gradients(student, step_of((student, teacher)), [batch_of()])
    idle = {name for name, _ in student.named_parameters()} - found.keys()
    assert all(name.startswith("backbone.pooler.") for name in idle)
    assert all(gradient.abs().sum() > 0 for gradient in found.values())
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert not teacher.training
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())


@pytest.mark.parametrize("objective", [INTERMEDIATE, EVERYTHING, Objective(reduction="noah", prediction=1.0)])
@every_family
def test_accumulated_batches_are_one_large_batch(family: str, objective: Objective) -> None:
    models = pair("tinybert", family, "sequence_classification")
    step, whole = step_of(models, objective), labelled(batch_of())
    parts = [rows_of(whole, 0), rows_of(whole, 1, 2), rows_of(whole, 3, 4)]
    expected, found = gradients(models[0], step, [whole]), gradients(models[0], step, parts)
    assert expected.keys() == found.keys()
    for name, gradient in found.items():
        assert (gradient - expected[name]).abs().max() <= 1e-6 * (1.0 + expected[name].abs().max()), name


@pytest.mark.parametrize(
    ("student", "teacher"),
    [("tinybert", "bert"), ("bert", "nezha"), ("nezha", "nezha"), ("openai-gpt", "openai-gpt")],
)
def test_packed_and_padded_batches_are_the_same(monkeypatch: pytest.MonkeyPatch, student: str, teacher: str) -> None:
    models = pair(student, teacher)
    if student == "openai-gpt":
        models[1].backbone.embeddings.dropout.p = 0.0
    step, batch = step_of(models), batch_of()
    if student == "openai-gpt":
        del batch["token_type_ids"]
    results = [step(models[0], batch).losses, gradients(models[0], step, [batch])]
    padded_only(monkeypatch)
    others = [step(models[0], batch).losses, gradients(models[0], step, [batch])]
    for found, expected in zip(results, others, strict=True):
        assert found.keys() == expected.keys()
        for name, value in found.items():
            assert_close(value, expected[name])


def test_words_at_padding_change_nothing() -> None:
    models, batch = pair(), batch_of()
    other = {**batch, "input_ids": torch.where(batch["attention_mask"] == 1, batch["input_ids"], 7)}
    step = step_of(models)
    for name, loss in step(models[0], batch).losses.items():
        assert_close(loss, step(models[0], other).losses[name])


def test_weights_multiply_and_zero_leaves_out() -> None:
    models, batch = pair("tinybert", "bert", "sequence_classification"), labelled(batch_of())
    plain = Objective(prediction=1.0, labels=1.0, temperature=2.0)
    one, other = (step_of(models, objective)(models[0], batch).losses for objective in (plain, EVERYTHING))
    assert list(one) == list(other) == ["attention", "hidden", "embedding", "prediction", "labels"]
    for name, loss in other.items():
        assert_close(loss, getattr(EVERYTHING, name) * one[name])
    part = step_of(models, Objective(attention=0.0, embedding=0.0))
    assert part(models[0], batch).losses.keys() == part.weigh(batch).keys() == {"hidden"}


def test_labels_bring_the_students_own_losses() -> None:
    models = student_of("bert", "pretraining"), teacher_of("bert", "pretraining")
    batch = {
        **batch_of((0, 9), (0, 4)),
        "labels": torch.full((2, 9), -100).index_fill_(1, torch.tensor([2]), 5),
        "next_sentence_label": torch.tensor([0, 1]),
    }
    own = SupervisedStep(weigh=lambda batch: {"masked_lm_loss": count_labels(batch), "next_sentence_loss": 2})
    objective = Objective(attention=1.0, hidden=0.0, embedding=0.0, labels=0.5)
    step = step_of(models, objective, labels=own)
    losses, output = step(models[0], batch).losses, models[0](**batch)
    assert (
        losses.keys() == step.weigh(batch).keys() == {"attention", "labels.masked_lm_loss", "labels.next_sentence_loss"}
    )
    assert_close(losses["labels.masked_lm_loss"], 0.5 * output.masked_lm_loss)
    assert_close(losses["labels.next_sentence_loss"], 0.5 * output.next_sentence_loss)


def test_blocks_that_are_recomputed_learn_the_same() -> None:
    models, batch = pair(), batch_of()
    expected = gradients(models[0], step_of(models), [batch])
    models[0].gradient_checkpointing_enable()
    for name, gradient in gradients(models[0], step_of(models), [batch]).items():
        assert_close(gradient, expected[name])


def test_equal_widths_need_no_projection() -> None:
    models = student_of("bert", hidden_size=24), teacher_of("nezha")
    losses = step_of(models)(models[0], batch_of()).losses
    view = View.padded(batch_of(), pattern="full")
    states = [model.eval().backbone.embeddings(batch_of()["input_ids"], batch_of()["token_type_ids"], view.layout)
              for model in models]  # fmt: skip
    assert_close(losses["embedding"], states_distance(*states, view.layout))


def test_other_numbers_of_heads_are_skipped_with_a_word_or_averaged(caplog: pytest.LogCaptureFixture) -> None:
    models = pair(num_attention_heads=2)
    step = step_of(models)
    assert step.skipped == {"attention": "the student has 2 attention heads, the teacher 3"}
    assert 'distillation without "attention": the student has 2 attention heads, the teacher 3' in caplog.text
    assert step(models[0], batch_of()).losses.keys() == step.weigh(batch_of()).keys() == {"hidden", "embedding"}
    for reduction in ("mean", "noah"):
        averaged = step_of(models, Objective(unequal_heads="mean", reduction=reduction))  # type: ignore[arg-type]
        assert not averaged.skipped
        assert averaged(models[0], batch_of()).losses["attention"] > 0
    with pytest.raises(ConfigError, match="nothing is left to learn: the student has 2 attention heads"):
        step_of(models, Objective(hidden=0.0, embedding=0.0))


def test_what_cannot_be_compared_is_refused() -> None:
    student, teacher = pair()
    with pytest.raises(ConfigError, match="teacher and student are one model"):
        step_of((student, student))
    with pytest.raises(ConfigError, match=r"student's is 'causal', the teacher's 'full'"):
        step_of((student_of("openai-gpt"), teacher))
    with pytest.raises(ConfigError, match=r"the student has 12, the teacher 24: call add_projection\(student, 24\)"):
        step_of((student_of(), teacher))
    with pytest.raises(ConfigError, match="multiple of the student's 3 blocks, got 4"):
        step_of((student_of(num_hidden_layers=3), teacher), Objective(hidden=0.0, embedding=0.0))


def test_a_student_in_parts_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    models = pair()
    monkeypatch.setattr(plm.distillation.view, "is_sharded", lambda model: model is models[0])
    with pytest.raises(TrainingError, match='train it with parallel "ddp", not "fsdp"'):
        step_of(models)(models[0], batch_of())
