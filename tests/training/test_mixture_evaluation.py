"""Every task is scored with its own head; the mean over those that matter judges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import nn

from plm.errors import ConfigError, TrainingError
from plm.heads.model import build_model
from plm.heads.several import HeadPlan
from plm.training import Evaluation, Trainer
from plm.training.mixture_evaluation import MixtureEvaluation
from plm.training.mixture_step import OneHead
from tests.tiny_models import random_ids, randomized, tiny_config
from tests.training.tiny import TinyBatches, TinyModel, config


def scoring(**results: Mapping[str, float]) -> dict[str, Any]:
    def of(found: Mapping[str, float]) -> Any:
        return lambda model: found

    return {name: of(found) for name, found in results.items()}


RESULTS = scoring(slots={"f1": 0.5, "loss": 3.0}, intent={"accuracy": 0.75}, words={"perplexity": 40.0})


def test_the_mean_of_the_first_results_comes_first_then_all_by_task() -> None:
    found = MixtureEvaluation(RESULTS, judged=("slots", "intent"))(TinyModel())
    assert list(found.items()) == [
        ("macro", 0.625),
        ("slots/f1", 0.5),
        ("slots/loss", 3.0),
        ("intent/accuracy", 0.75),
        ("words/perplexity", 40.0),
    ]
    assert MixtureEvaluation(RESULTS)(TinyModel())["macro"] == pytest.approx((0.5 + 0.75 + 40.0) / 3)


def test_every_task_gets_the_model_with_its_own_head() -> None:
    plans = {"a": HeadPlan("sequence_classification"), "b": HeadPlan("sequence_classification", {"num_labels": 5})}
    model = randomized(build_model(tiny_config("bert"), plans)).eval()
    seen = {}

    def shape_of(name: str) -> Any:
        def evaluate(one: nn.Module) -> dict[str, float]:
            assert isinstance(one, OneHead)
            seen[name] = tuple(one(random_ids(2, 5)).logits.shape)
            return {"rows": 2.0}

        return evaluate

    MixtureEvaluation({name: shape_of(name) for name in plans})(model)
    assert seen == {"a": (2, 2), "b": (2, 5)}


def test_evaluations_for_one_task_serve_as_they_are_and_leave_the_mode_alone() -> None:
    model = randomized(build_model(tiny_config("bert"), {"a": HeadPlan("sequence_classification")})).train()
    batch = {"input_ids": random_ids(4, 5), "labels": torch.tensor([0, 1, 1, 0])}
    alone = Evaluation([batch])(model)
    assert MixtureEvaluation({"a": Evaluation([batch])})(model) == {
        "macro": next(iter(alone.values())),
        **{f"a/{name}": value for name, value in alone.items()},
    }
    assert model.training
    assert model.backbone.training


def test_the_trainer_judges_by_the_mean() -> None:
    scores = iter((0.2, 0.9, 0.4))
    evaluate = MixtureEvaluation({"a": lambda model: {"f1": next(scores)}, "b": lambda model: {"f1": 0.5}})
    settings = config(eval_strategy="epoch", num_train_epochs=3)
    report = Trainer(TinyModel(), settings, batches=TinyBatches(), evaluate=evaluate, callbacks=[]).train()
    assert report.best_update == 10
    assert report.best_metrics == {"macro": 0.7, "a/f1": 0.9, "b/f1": 0.5}


def test_mistakes_are_named() -> None:
    with pytest.raises(ConfigError, match="no tasks to evaluate"):
        MixtureEvaluation({})
    with pytest.raises(ConfigError, match=r"judged: no task 'slot'; did you mean 'slots'"):
        MixtureEvaluation(RESULTS, judged=("slot",))
    with pytest.raises(TrainingError, match="the evaluation of the task 'mute' returned nothing"):
        MixtureEvaluation(RESULTS | scoring(mute={}))(TinyModel())
