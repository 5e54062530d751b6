"""Each batch goes to the head of its task, each task has a loss of its own, and together they train one backbone."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from plm.errors import ConfigError, TrainingError
from plm.heads.model import Model, build_model
from plm.heads.several import HeadPlan
from plm.training import StepResult, SupervisedStep
from plm.training.mixture_step import MixtureStep, OneHead
from plm.training.step import Batch, Weights
from plm.training.update import Updater
from tests.tiny_models import random_ids, randomized, tiny_config
from tests.training.tiny import config, distance, weights

PLANS = {
    "intent": HeadPlan("sequence_classification", {"num_labels": 3}),
    "slots": HeadPlan("token_classification", {"num_labels": 4}),
    "spans": HeadPlan("question_answering"),
}
NAMES = list(PLANS)


def several() -> Model:
    model: Model = randomized(build_model(tiny_config("bert"), PLANS))
    return model


def weigh_span(batch: Batch) -> Weights:
    return {"start_loss": len(batch["start_positions"]), "end_loss": len(batch["end_positions"])}


def steps(**changes: Any) -> MixtureStep:
    return MixtureStep(
        {"intent": SupervisedStep(), "slots": SupervisedStep(), "spans": Spans()} | changes.pop("steps", {}), **changes
    )


class Spans:
    """A step of a user: two losses of its own, and a log."""

    def weigh(self, batch: Batch) -> Weights:
        return weigh_span(batch)

    def __call__(self, model: nn.Module, batch: Batch) -> StepResult:
        output = model(batch["input_ids"])
        losses = {
            f"{side}_loss": nn.functional.cross_entropy(getattr(output, f"{side}_logits"), batch[f"{side}_positions"])
            for side in ("start", "end")
        }
        right = (output.start_logits.argmax(-1) == batch["start_positions"]).float().mean()
        return StepResult(losses, {"start_loss.right": right})


def batch_of(task: str, rows: int = 3) -> dict[str, Tensor]:
    ids = random_ids(rows, 6, seed=rows)
    targets = {
        "intent": {"labels": torch.arange(rows) % 3},
        "slots": {"labels": (ids % 4).masked_fill(ids % 5 == 0, -100)},
        "spans": {"start_positions": torch.arange(rows) % 6, "end_positions": torch.full((rows,), 5)},
    }[task]
    return {"input_ids": ids, **targets, "index": torch.arange(10, 10 + rows), "task": torch.tensor(NAMES.index(task))}


def test_a_batch_is_trained_on_the_head_of_its_task_alone() -> None:
    for task in NAMES:
        model = several()
        before = weights(model)
        Updater(model, config(weight_decay=0.5), steps())([batch_of(task)], number=1, factor=1.0)
        moved = {name.split(".")[1] for name, tensor in model.state_dict().items()
                 if name.startswith("heads.") and not torch.equal(tensor, before[name])}  # fmt: skip
        assert moved == {task}  # neither moments nor weight decay touch a head without a batch
        assert not torch.equal(model.backbone.embeddings.word.weight, before["backbone.embeddings.word.weight"])


def test_losses_and_logs_carry_the_name_of_their_task() -> None:
    updater = Updater(several(), config(), steps())
    values = updater([batch_of(task) for task in NAMES], number=1, factor=1.0)
    assert set(values) == {
        "loss", "intent", "slots", "spans.start_loss", "spans.end_loss", "spans.start_loss.right", "grad_norm",
        "learning_rate",
    }  # fmt: skip
    parts = [values[name] for name in ("intent", "slots", "spans.start_loss", "spans.end_loss")]
    assert values["loss"] == pytest.approx(sum(parts), rel=1e-6)
    alone = updater([batch_of("slots")], number=2, factor=1.0)
    assert alone["slots"] == alone["loss"]


def test_every_task_has_a_denominator_of_its_own() -> None:
    whole, parts = (
        Updater(several(), config(), steps())(batches, number=1, factor=1.0)
        for batches in (
            [batch_of("intent", 6), batch_of("slots", 4)],
            [cut(batch_of("intent", 6), 0, 1), batch_of("slots", 4), cut(batch_of("intent", 6), 1, 6)],
        )
    )
    assert parts == pytest.approx(whole, rel=1e-5)


def cut(batch: Batch, start: int, stop: int) -> dict[str, Tensor]:
    return {name: tensor[start:stop] if tensor.ndim else tensor for name, tensor in batch.items()}


def test_a_weight_scales_loss_and_gradient_of_its_task() -> None:
    plain, heavy = several(), several()
    for model, step in ((plain, steps()), (heavy, steps(loss_weights={"slots": 3.0}))):
        result = step(model, batch_of("slots"))
        result.losses["slots"].backward()
    for (name, one), other in zip(plain.named_parameters(), heavy.parameters(), strict=True):
        if one.grad is not None:
            assert other.grad is not None, name
            assert torch.allclose(3.0 * one.grad, other.grad, rtol=1e-4, atol=1e-6), name
    losses = [step(plain, batch_of("intent")).losses["intent"].item() for step in (steps(), steps(loss_weights={}))]
    assert losses[0] == losses[1]


def test_the_head_of_a_task_can_have_a_learning_rate_of_its_own() -> None:
    rates = {"heads.slots.*": 1e-3, "heads.*": 1e-4}
    updater = Updater(several(), config(learning_rate=1e-5, learning_rates=rates), steps())
    updater([batch_of(task) for task in NAMES], number=1, factor=0.5)
    names = {id(parameter): name for name, parameter in updater.model.named_parameters()}
    rates_of: dict[str, set[float]] = {}
    for group in updater.optimizer.param_groups:
        for parameter in group["params"]:
            owner = ".".join(names[id(parameter)].split(".")[:2])
            rates_of.setdefault(owner if owner.startswith("heads.") else "backbone", set()).add(group["lr"])
    assert rates_of == {
        "heads.slots": {0.5 * 1e-3},
        "heads.intent": {0.5 * 1e-4},
        "heads.spans": {0.5 * 1e-4},
        "backbone": {0.5 * 1e-5},
    }


def test_a_shared_head_learns_from_both_its_tasks() -> None:
    plans = {"slots": PLANS["slots"], "more": HeadPlan(shared_with="slots")}
    model = randomized(build_model(tiny_config("bert"), plans))
    step = MixtureStep({"slots": SupervisedStep(), "more": SupervisedStep()})
    batch = batch_of("slots")
    gradients = []
    for tasks in ((0,), (1,), (0, 1)):
        model.zero_grad()
        for task in tasks:
            sum(step(model, {**batch, "task": torch.tensor(task)}).losses.values()).backward()  # type: ignore[union-attr]
        gradients.append(model.heads["slots"].classifier.weight.grad.clone())
    assert torch.allclose(gradients[0], gradients[1])
    assert torch.allclose(gradients[0] + gradients[1], gradients[2])


def test_one_head_of_a_model_is_in_its_mode_and_has_its_weights() -> None:
    model = several().eval()
    head = OneHead(model, "slots")
    assert not head.training
    assert torch.equal(head(random_ids(2, 5)).logits, model(random_ids(2, 5), head="slots").logits)
    assert {id(parameter) for parameter in head.parameters()} == {id(parameter) for parameter in model.parameters()}
    head.train()
    assert model.training


# ---- mistakes


def test_a_loss_that_is_not_finite_names_task_and_examples_and_spares_the_weights() -> None:
    class Broken(Spans):
        def __call__(self, model: nn.Module, batch: Batch) -> StepResult:
            losses = super().__call__(model, batch).losses
            return StepResult({name: loss * math.nan for name, loss in losses.items()})

    model = several()
    before = weights(model)
    batches = [batch_of("intent", 2), batch_of("spans", 2)]
    expected = r"update 7, task spans on examples 10, 11: the loss spans\.start_loss, spans\.end_loss is nan"
    with pytest.raises(TrainingError, match=expected):
        Updater(model, config(), steps(steps={"spans": Broken()}))(batches, number=7, factor=1.0)
    assert distance(before, weights(model)) == 0.0


def test_a_gradient_that_is_not_finite_names_the_tasks_of_the_update() -> None:
    class Steep(SupervisedStep):
        def __call__(self, model: nn.Module, batch: Batch) -> StepResult:
            return StepResult({"loss": (super().__call__(model, batch).losses["loss"] * 0.0).sqrt()})

    with pytest.raises(TrainingError, match=r"update 1, task slots on examples .*its gradient is not finite"):
        Updater(several(), config(), steps(steps={"slots": Steep()}))([batch_of("slots")], number=1, factor=1.0)


def test_a_batch_of_no_task_is_refused() -> None:
    batch = batch_of("slots")
    with pytest.raises(TrainingError, match="of task 3, and there are 3: intent, slots, spans"):
        steps().weigh({**batch, "task": torch.tensor(3)})
    del batch["task"]
    with pytest.raises(TrainingError, match=r'needs "task", its number \(it has: input_ids, labels, index\)'):
        steps().weigh(batch)


def test_weights_of_no_task_and_of_no_meaning_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"loss_weights: no task 'slot'; did you mean 'slots'"):
        steps(loss_weights={"slot": 1.0})
    for weight in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ConfigError, match="loss_weights: slots: expected a positive number"):
            steps(loss_weights={"slots": weight})


# ---- what checkpoints hold


class Remembering(SupervisedStep):
    """A step with a state."""

    def state_dict(self) -> dict[str, int]:
        return {"seen": getattr(self, "seen", 0)}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        object.__setattr__(self, "seen", state_dict["seen"])


def test_a_checkpoint_holds_the_state_of_every_step_that_has_one() -> None:
    step = steps(steps={"slots": Remembering()})
    step.load_state_dict({"slots": {"seen": 4}})
    assert step.state_dict() == {"slots": {"seen": 4}}
    assert steps().state_dict() == {}
