"""Learning from a teacher: a step of the Trainer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from torch import Tensor, nn

from plm.distillation.answers import Answers, require_predictions_alone
from plm.distillation.inner import MEASURES, InnerValues
from plm.distillation.objective import Objective
from plm.distillation.predictions import Predictions, Said
from plm.distillation.teacher import Teacher
from plm.distillation.view import TEXT, Question, Seen, View, look
from plm.errors import ConfigError
from plm.heads.model import Model
from plm.training.step import Batch, StepResult, SupervisedStep, Weights, model_inputs


class DistillationStep:
    """Every batch is shown to both models, and the student is drawn towards the teacher.

        add_projection(student, teacher.config.hidden_size)
        step = DistillationStep(student, Teacher(teacher), INTERMEDIATE)
        Trainer(student, config, batches=batches, step=step).train()
        drop_projection(student)

    The parts of the objective are losses with names of their own, each a mean over what `weigh` counts in the batch
    alone; so accumulated batches and several processes come to the same as one large batch.

    student: the model that will be trained. head: of both models, whose predictions count; None = the first of each.
    labels: the student's losses on labels in the data, if the objective has a weight for them; None = the loss of its
        head.
    answers: of the teacher to all rows of the batches, which it is then not asked again; None = it is, every time.

    Raises ConfigError for layers that do not match, widths without projection, other classes or attention patterns;
    for kept answers where inner values are compared.
    """

    def __init__(
        self,
        student: Model,
        teacher: Teacher,
        objective: Objective,
        *,
        head: str | None = None,
        labels: SupervisedStep | None = None,
        answers: Answers | None = None,
    ) -> None:
        if teacher.model is student:
            raise ConfigError("teacher and student are one model: load the teacher a second time")
        self.teacher, self.objective = teacher, objective
        self.inner = InnerValues.of(student, teacher.model, objective)
        self.predictions = None
        if objective.prediction:
            measure = MEASURES[objective.reduction]
            self.predictions = Predictions.of(student, teacher.model, objective, measure, head)
        self.labels = (labels or SupervisedStep()) if objective.labels else None
        if not (self.inner.weights or self.predictions or self.labels):
            raise ConfigError(f"nothing is left to learn: {'; '.join(self.inner.skipped.values())}")
        self.answers = answers
        if answers is not None:
            require_predictions_alone(objective, teacher.model)
        self._own = Question(names=self.inner.own_names, predicts=self._predicts, head=head)
        self._theirs = Question(names=self.inner.teacher_names, predicts=self.predictions is not None, head=head)

    @property
    def skipped(self) -> Mapping[str, str]:
        """Parts of the objective that are left out, and why."""
        return self.inner.skipped

    def weigh(self, batch: Batch) -> Weights:
        """What each loss is a mean over: pairs of tokens, tokens, decisions, labels."""
        weights: dict[str, float | Tensor] = dict(self.inner.weigh(batch))
        if self.predictions is not None:
            weights["prediction"] = self.predictions.decisions.count(batch)
        if self.labels is not None:
            weights |= {_label_loss(name): weight for name, weight in self.labels.weigh(batch).items()}
        return weights

    def __call__(self, model: nn.Module, batch: Batch) -> StepResult:
        """See the class. model: the student, as the Trainer calls it."""
        view = self._view(batch)
        seen, said = self._ask(view, batch)
        targets = {} if self.labels is None else {k: v for k, v in model_inputs(batch).items() if k not in TEXT}
        own = look(model, view, self._own, targets=targets)
        losses = {} if seen is None else self.inner.losses(cast("Model", model), own, seen, view)
        logs = {}
        if self.predictions is not None:
            assert own.output is not None
            assert said is not None
            losses["prediction"] = self.predictions.loss(own.output, said, view)
            agreement = self.predictions.agreement(own.output, said, view)
            logs = {f"prediction.{name}": value for name, value in agreement.items()}
        if self.labels is not None:
            for name in self.labels.weigh(batch):
                losses[_label_loss(name)] = self.objective.labels * self.labels.loss(own.output, name)
        return StepResult(losses, logs)

    @property
    def _predicts(self) -> bool:
        return self.predictions is not None or self.labels is not None

    def _ask(self, view: View, batch: Batch) -> tuple[Seen | None, Said | None]:
        """What the teacher holds inside, and what it says; None = nobody wants to know."""
        if self.answers is not None and self.predictions is not None:
            return None, self.answers.to(batch)
        if not (self._theirs.names or self._theirs.predicts):
            return None, None
        seen = self.teacher(view, self._theirs)
        return seen, seen.output

    def _view(self, batch: Batch) -> View:
        """Packed where that is possible: heads and labels want the texts as they come."""
        pattern = self.inner.pattern
        packed = None
        if self.inner.measure.packs and not self._predicts:
            packed = View.packed(batch, pattern=pattern)
        return packed or View.padded(batch, pattern=pattern)


def _label_loss(name: str) -> str:
    return "labels" if name == "loss" else f"labels.{name}"
