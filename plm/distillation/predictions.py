"""How far the predictions of student and teacher are apart, for every kind of head that decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from plm.distillation.losses import Measure
from plm.distillation.objective import Objective
from plm.distillation.teacher import check_labels
from plm.distillation.view import View, lengths_of
from plm.errors import ConfigError
from plm.heads.model import Model
from plm.models.config import ModelConfig, ProblemType
from plm.registry import Registry
from plm.training.step import Batch

Distance = Callable[[Tensor, Tensor], Tensor]
"""(logits of the student, those of the teacher), both (decisions, options) -> (decisions,)."""


class Said(Protocol):
    """What a head says: an Output, or its fields by name."""

    def __getitem__(self, name: str, /) -> Any: ...


def _of_texts(batch: Batch) -> Tensor:
    return torch.ones_like(batch["input_ids"][..., 0], dtype=torch.bool)


@dataclass(frozen=True, kw_only=True)
class Decisions:
    """The decisions of a kind of head.

    count: how many a batch asks for. logits: output, (batch, length) of real tokens -> those decisions, each tensor
    (decisions, options): several where a head decides several things about the same text.
    fields: of the output that they are made of. real: bool, (batch,) or (batch, places), as these fields begin: True =
    there is something to read, wherever the texts are cut or padded.
    """

    count: Callable[[Batch], float]
    logits: Callable[[Said, Tensor], tuple[Tensor, ...]]
    fields: tuple[str, ...] = ("logits",)
    real: Callable[[Batch], Tensor] = _of_texts


DECISIONS: Registry[Decisions] = Registry("head that can imitate predictions")
"""By kind of head."""


@dataclass(frozen=True)
class Predictions:
    """The comparison of what two heads of one kind say.

    distance: by decision. weight: how much it counts. is_choice: True = each decision is for one option.
    """

    decisions: Decisions
    distance: Distance
    weight: float
    is_choice: bool

    @classmethod
    def of(
        cls, student: Model, teacher: Model, objective: Objective, measure: Measure, head: str | None
    ) -> Predictions:
        """What an objective asks for. head: of both models; None = the first of each.

        Raises ConfigError for heads that cannot imitate, or of two kinds, and for classes that are not the same.
        """
        kinds = [kind_of(model, head) for model in (student, teacher)]
        if kinds[0] != kinds[1] or kinds[0] not in DECISIONS:
            raise ConfigError(
                f"predictions: the student's head is {kinds[0]!r}, the teacher's {kinds[1]!r}; heads of one kind can "
                f"imitate each other, out of {', '.join(DECISIONS)}"
            )
        config = student.head_config(head or next(iter(student.heads)))
        problem = _problem(config) if kinds[0] == "sequence_classification" else "single_label_classification"
        weight = objective.prediction
        if problem != "regression" and objective.scales_by_temperature:
            weight *= objective.temperature**2
        if kinds[0].endswith("classification"):
            check_labels(config.labels, teacher, head=head)
            weight *= 1.0 if problem == "regression" else measure.per_class(config.num_labels)
        distance = DISTANCES[problem](objective.temperature)
        return cls(DECISIONS.get(kinds[0]), distance, weight, problem == "single_label_classification")

    def loss(self, own: Said, theirs: Said, view: View) -> Tensor:
        """The mean over the decisions, times its weight; 0 where there are none."""
        pairs = list(zip(self._logits(own, view), self._logits(theirs, view), strict=True))
        total = torch.stack([self.distance(*pair).sum() for pair in pairs]).sum()
        return total / max(1, sum(len(logits) for logits, _ in pairs)) * self.weight

    def agreement(self, own: Said, theirs: Said, view: View) -> dict[str, Tensor]:
        """For the log, "agreement": share of decisions that both take alike; nothing where no option is chosen."""
        if not self.is_choice:
            return {}
        pairs = zip(self._logits(own, view), self._logits(theirs, view), strict=True)
        same = [(first.argmax(-1) == second.argmax(-1)).float() for first, second in pairs]
        return {"agreement": torch.cat(same).mean() if same and same[0].numel() else torch.zeros(())}

    def _logits(self, output: Said, view: View) -> tuple[Tensor, ...]:
        return self.decisions.logits(output, view.live)


def soft_cross_entropy(own: Tensor, theirs: Tensor, *, temperature: float) -> Tensor:
    """- sum of softmax(theirs / t) log softmax(own / t), in nats and float32: (decisions,).

    Options that the teacher rules out count nothing, however low the student's logits are for them.
    """
    target = (theirs.float() / temperature).softmax(-1)
    logarithms = (own.float() / temperature).log_softmax(-1).masked_fill(target == 0.0, 0.0)
    return -(target * logarithms).sum(-1)


def soft_binary_cross_entropy(own: Tensor, theirs: Tensor, *, temperature: float) -> Tensor:
    """The same for classes that are decided each for itself, summed over them: (decisions,)."""
    target = (theirs.float() / temperature).sigmoid()
    return F.binary_cross_entropy_with_logits(own.float() / temperature, target, reduction="none").sum(-1)


def squared_distance(own: Tensor, theirs: Tensor) -> Tensor:
    """Mean over the outputs of the squared difference: (decisions,)."""
    return (own.float() - theirs.float()).square().mean(-1)


def _texts(batch: Batch) -> float:
    return float(batch["input_ids"][..., 0].numel())


def _examples(batch: Batch) -> float:
    return float(batch["input_ids"].shape[0])


def _tokens(batch: Batch) -> float:
    return float(lengths_of(batch).sum())


def _real_tokens(batch: Batch) -> Tensor:
    return batch["attention_mask"] != 0 if "attention_mask" in batch else torch.ones_like(batch["input_ids"]).bool()


def _real_choices(batch: Batch) -> Tensor:
    return _real_tokens(batch).any(-1)


def kind_of(model: Model, head: str | None) -> str:
    """The kind of a head of a model; None = of the first. Raises ConfigError where there is none."""
    name = head or next(iter(model.heads), None)
    if name is None or name not in model.heads:
        raise ConfigError(f"predictions: a model has no head {name or 'at all'} (it has: {', '.join(model.heads)})")
    return model.plans[model.plans[name].shared_with or name].kind or ""


def _problem(config: ModelConfig) -> ProblemType:
    """Without a word in the config, one output is a score and several are classes."""
    return config.problem_type or ("regression" if config.num_labels == 1 else "single_label_classification")


DISTANCES: Mapping[ProblemType, Callable[[float], Distance]] = {
    "single_label_classification": lambda temperature: partial(soft_cross_entropy, temperature=temperature),
    "multi_label_classification": lambda temperature: partial(soft_binary_cross_entropy, temperature=temperature),
    "regression": lambda temperature: squared_distance,
}
"""Of a temperature, which scores have none."""

DECISIONS.add(
    "sequence_classification",
    Decisions(count=_texts, logits=lambda output, live: (output["logits"].flatten(0, -2),)),
)
DECISIONS.add(
    "multiple_choice",
    Decisions(count=_examples, logits=lambda output, live: (output["logits"],), real=_real_choices),
)
DECISIONS.add(
    "token_classification",
    Decisions(count=_tokens, logits=lambda output, live: (output["logits"][live],), real=_real_tokens),
)
DECISIONS.add(
    "question_answering",
    Decisions(
        count=_texts,
        logits=lambda output, live: (output["start_logits"].flatten(0, -2), output["end_logits"].flatten(0, -2)),
        fields=("start_logits", "end_logits"),
        real=_real_tokens,
    ),
)
