"""What heads say is compared by decision: texts, tokens, spans, choices."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from plm.distillation import DistillationStep, Objective, Teacher
from plm.distillation.predictions import soft_cross_entropy
from plm.errors import ConfigError
from plm.heads.model import Model
from plm.models.config import default_labels
from tests.distillation.pairs import batch_of, student_of, teacher_of
from tests.tolerances import assert_close

ONLY: dict[str, Any] = {"attention": 0.0, "hidden": 0.0, "embedding": 0.0, "prediction": 1.0}
THREE = {"id2label": default_labels(3)}


def pair(head: str, **changes: Any) -> tuple[Model, Model]:
    return student_of("tinybert", head, **changes), teacher_of("bert", head, **changes)


def compared(models: tuple[Model, Model], batch: dict[str, Tensor], **changes: Any) -> tuple[Tensor, Any, Any]:
    """The loss, checked to be weighed; outputs of student and teacher."""
    student, teacher = models
    step = DistillationStep(student, Teacher(teacher), Objective(**ONLY | changes))
    result = step(student, batch)
    assert result.losses.keys() == step.weigh(batch).keys() == {"prediction"}
    return result.losses["prediction"], student(**batch), teacher(**batch)


def entropies(own: Tensor, theirs: Tensor, temperature: float = 1.0) -> Tensor:
    return -((theirs / temperature).softmax(-1) * (own / temperature).log_softmax(-1)).sum(-1)


def test_classes_of_a_text_by_soft_cross_entropy() -> None:
    loss, own, theirs = compared(pair("sequence_classification", **THREE), batch_of())
    assert_close(loss, entropies(own.logits, theirs.logits).mean())


def test_the_temperature_softens_both_and_may_scale_the_loss() -> None:
    models, batch = pair("sequence_classification", **THREE), batch_of()
    loss, own, theirs = compared(models, batch, temperature=3.0)
    assert_close(loss, entropies(own.logits, theirs.logits, 3.0).mean())
    assert_close(compared(models, batch, temperature=3.0, scales_by_temperature=True)[0], 9.0 * loss)
    assert_close(compared(models, batch, temperature=3.0, prediction=0.5)[0], 0.5 * loss)


@pytest.mark.parametrize("changes", [{"id2label": {0: "score"}}, {**THREE, "problem_type": "regression"}])
def test_scores_by_squares(changes: dict[str, Any]) -> None:
    loss, own, theirs = compared(pair("sequence_classification", **changes), batch_of(), temperature=2.0)
    assert_close(loss, F.mse_loss(own.logits, theirs.logits))


def test_several_classes_of_one_text_each_for_itself() -> None:
    models = pair("sequence_classification", **THREE, problem_type="multi_label_classification")
    loss, own, theirs = compared(models, batch_of())
    expected = F.binary_cross_entropy_with_logits(own.logits, theirs.logits.sigmoid(), reduction="none").sum(-1).mean()
    assert_close(loss, expected)


def test_classes_of_tokens_at_real_positions() -> None:
    batch = batch_of()
    loss, own, theirs = compared(pair("token_classification", **THREE), batch)
    assert_close(loss, entropies(own.logits, theirs.logits)[batch["attention_mask"] == 1].mean())


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_answers_over_the_real_positions_of_a_text(temperature: float) -> None:
    batch = batch_of()
    models = pair("question_answering")
    loss, own, theirs = compared(models, batch, temperature=temperature)
    expected = []
    for name in ("start_logits", "end_logits"):
        for text, live in enumerate(batch["attention_mask"] == 1):
            expected.append(entropies(own[name][text][live], theirs[name][text][live], temperature))
    assert_close(loss, torch.stack(expected).mean())
    loss.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in models[0].parameters())


def test_choices_of_which_some_are_not_there() -> None:
    flat = batch_of((0, 9), (0, 4), (0, 5), (0, 7), (0, 3), (0, 0))
    batch = {name: tensor.unflatten(0, (2, 3)) for name, tensor in flat.items()}
    loss, own, theirs = compared(pair("multiple_choice"), batch)
    expected = [entropies(own.logits[0], theirs.logits[0]), entropies(own.logits[1, :2], theirs.logits[1, :2])]
    assert_close(loss, torch.stack(expected).mean())


def test_how_often_both_agree_is_logged() -> None:
    student, teacher = pair("sequence_classification", **THREE)
    batch = batch_of()
    logs = DistillationStep(student, Teacher(teacher), Objective(**ONLY))(student, batch).logs
    same = student(**batch).logits.argmax(-1) == teacher(**batch).logits.argmax(-1)
    assert list(logs) == ["prediction.agreement"]
    assert_close(logs["prediction.agreement"], same.float().mean())


def test_what_the_teacher_rules_out_costs_nothing() -> None:
    lowest = torch.finfo(torch.float32).min
    own = torch.tensor([[1.0, 2.0, lowest]], requires_grad=True)
    loss = soft_cross_entropy(own, torch.tensor([[0.5, 0.1, lowest]]), temperature=0.5)
    assert_close(loss, entropies(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.5, 0.1]]), 0.5))
    (gradient,) = torch.autograd.grad(loss.sum(), own)
    assert gradient[0, 2] == 0
    assert gradient.isfinite().all()


def test_heads_have_to_be_of_one_kind_that_decides() -> None:
    student, teacher = student_of("bert", "token_classification"), teacher_of("bert", "sequence_classification")
    with pytest.raises(ConfigError, match="student's head is 'token_classification', the teacher's 'sequence_class"):
        DistillationStep(student, Teacher(teacher), Objective(**ONLY))
    pair = student_of("bert", "masked_lm"), teacher_of("bert", "masked_lm")
    with pytest.raises(ConfigError, match="heads of one kind can imitate each other, out of sequence_classification,"):
        DistillationStep(pair[0], Teacher(pair[1]), Objective(**ONLY))
    with pytest.raises(ConfigError, match="a model has no head at all"):
        DistillationStep(student_of("bert"), Teacher(teacher), Objective(**ONLY))
