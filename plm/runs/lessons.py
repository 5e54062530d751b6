"""What a Trainer gets of the tasks of a run: batches, a step, evaluations; of one task, or of several mixed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from torch import nn

from plm.auto.model import PretrainedModel
from plm.data.mixture import Mixing, Mixture
from plm.errors import ConfigError, did_you_mean
from plm.runs.config import RunConfig
from plm.runs.encoding import Encoder, text_length
from plm.runs.evaluation import TaskEvaluation
from plm.runs.preparation import Prepared
from plm.tasks import AnyTask
from plm.tokenizers import Tokenizer
from plm.training import (
    MixtureEvaluation,
    MixtureStep,
    OneHead,
    Step,
    TrainingBatches,
    TrainingConfig,
    supervised_step,
)

Value = TypeVar("Value")

ByTask = Mapping[str, Mapping[str, Value]]
"""Something for every split ("dev", "test") and, inside, every task."""


@dataclass(frozen=True)
class Lessons:
    """What is learned and how it is judged.

    evaluations: by split ("dev", "test") and task; each takes the model with the head of that task alone.
    evaluate: the one that the Trainer judges by. lengths: tokens that the texts of each task are cut to.
    mixture: of the batches of several tasks, whose names are those of the heads; None = there is one task alone.
    """

    batches: TrainingBatches
    step: Step
    evaluations: ByTask[TaskEvaluation]
    evaluate: Callable[[nn.Module], Mapping[str, float]]
    lengths: Mapping[str, int]
    mixture: Mixture | None

    def answers(self, model: nn.Module) -> dict[str, dict[str, Sequence[Any]]]:
        """What a model says to every split, by split and task."""

        def seen_by(task: str) -> nn.Module:
            return model if self.mixture is None else OneHead(model, task)

        return {
            split: {name: one.answers(seen_by(name)) for name, one in own.items()}
            for split, own in self.evaluations.items()
        }

    def scores(self, answers: ByTask[Sequence[Any]]) -> dict[str, dict[str, dict[str, float]]]:
        """The metrics of such answers."""
        return {
            split: {name: self.evaluations[split][name].score(said) for name, said in own.items()}
            for split, own in answers.items()
        }

    def require_metric(self, name: str, model: nn.Module) -> None:
        """Raise ConfigError when the evaluation has no such metric: before an epoch of training, by evaluating once.

        Which metrics there are may depend on the examples, as in SQuAD on whether all have an answer.
        """
        found = self.evaluate(model)
        if name not in found:
            raise ConfigError(
                f"metric_for_best: no metric {name!r}{did_you_mean(name, found)} (there are: {_listed(found)})"
            )


def prepare_lessons(
    config: RunConfig, tasks: Mapping[str, Prepared], model: PretrainedModel, tokenizer: Tokenizer
) -> Lessons:
    """Encode every file, and put the tasks together."""
    encoders = {name: _encoder(config, prepared, model, tokenizer) for name, prepared in tasks.items()}
    training = {name: encoders[name](prepared.splits["train"], seed=config.training.seed)
                for name, prepared in tasks.items()}  # fmt: skip
    evaluations: dict[str, dict[str, TaskEvaluation]] = {}
    for name, prepared in tasks.items():
        for split in ("dev", "test"):
            if split in prepared.splits:
                encoded = encoders[name](prepared.splits[split], seed=None)
                evaluation = TaskEvaluation.of(prepared.task, encoded, config.training.precision)
                evaluations.setdefault(split, {})[name] = evaluation
    steps = {name: _step(config, name, prepared) for name, prepared in tasks.items()}
    lengths = {name: encoder.max_length for name, encoder in encoders.items()}
    if config.task is not None:
        (only,) = tasks
        batches, evaluate = training[only].batches, evaluations["dev"][only]
        return Lessons(batches, steps[only], evaluations, evaluate, lengths, mixture=None)
    mixture = Mixture(
        {name: encoded.batches for name, encoded in training.items()},
        _mixing(config),
        seed=config.training.seed,
        accumulation=config.training.gradient_accumulation_steps,
        epochs=config.training.num_train_epochs if config.training.max_steps is None else None,
    )
    step = MixtureStep(steps, {name: data.loss_weight for name, data in config.tasks.items()})
    judge = MixtureEvaluation(evaluations["dev"], judged=config.main_tasks)
    return Lessons(mixture, step, evaluations, judge, lengths, mixture)


def training_options(config: RunConfig) -> TrainingConfig:
    """Those of the config, with the learning rates of heads that tasks ask for."""
    rates = {
        f"heads.{data.shared_head or name}.*": data.learning_rate
        for name, data in config.tasks.items()
        if data.learning_rate is not None
    }
    if not rates:
        return config.training
    return dataclasses.replace(config.training, learning_rates=config.training.learning_rates | rates)


def _encoder(config: RunConfig, prepared: Prepared, model: PretrainedModel, tokenizer: Tokenizer) -> Encoder:
    return Encoder(
        prepared.task,
        tokenizer,
        max_length=text_length(prepared.data.max_length, model, tokenizer),
        batching=prepared.data.batching,
        workers=config.workers,
        cache=config.feature_cache,
    )


def _step(config: RunConfig, name: str, prepared: Prepared) -> Step:
    task, training = prepared.task, config.training
    counts = task.class_counts(prepared.splits["train"].examples) if training.class_weights == "balanced" else None
    try:
        _check_class_weights(training, task)
        return supervised_step(training, weigh=task.weigh, factors=task.loss_factors, counts=counts, kind=task.decision)
    except ConfigError as error:
        if config.task is not None:
            raise
        raise ConfigError(f"tasks.{name}: {error}") from error


def _check_class_weights(config: TrainingConfig, task: AnyTask) -> None:
    weights, classes = config.class_weights, task.model_options().get("id2label", {})
    if isinstance(weights, tuple) and task.decision in ("single", "multi") and len(weights) != len(classes):
        raise ConfigError(
            f"class_weights: expected {len(classes)} numbers, for {_listed(classes.values())}, got {len(weights)}"
        )


def _listed(names: Iterable[str]) -> str:
    """The first of them, in short."""
    names = list(names)
    return ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")


def _mixing(config: RunConfig) -> Mixing:
    """As asked for; an epoch is one of the main tasks where the recipe does not say."""
    if config.mixture.epoch_of or len(config.main_tasks) == len(config.tasks):
        return config.mixture
    return dataclasses.replace(config.mixture, epoch_of=config.main_tasks)
