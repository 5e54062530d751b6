"""What a run promises: repeatable, best weights kept, clean ends."""

from __future__ import annotations

import math
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from plm.errors import TrainingError
from plm.training import Callback, Record, Run, StepResult, SupervisedStep, Trainer
from plm.training.step import Batch, Weights, weigh_labels
from tests.training.tiny import Altered, TinyBatches, TinyModel, config, distance, examples, weights


def losses(trainer: Trainer) -> list[float]:
    return [record.values["loss"] for record in trainer.train().history if record.kind == "train"]


def trained(model: nn.Module | None = None, **values: object) -> Trainer:
    return Trainer(model or TinyModel(dropout=0.2), config(log_every=1, **values), batches=TinyBatches(), callbacks=())


def test_training_lowers_the_loss() -> None:
    history = losses(trained(num_train_epochs=20))
    assert history[-1] < 0.5 * history[0]


def test_same_seed_same_run_whatever_happened_to_the_random_state() -> None:
    first = trained(seed=1)
    history = losses(first)
    torch.rand(17)
    second = trained(seed=1)
    assert losses(second) == history
    assert distance(weights(first.model), weights(second.model)) == 0.0
    assert losses(trained(seed=2)) != history


def test_evaluation_and_callbacks_do_not_disturb_the_run() -> None:
    def evaluate(model: nn.Module) -> dict[str, float]:
        return {"noise": float(torch.rand(1))}

    plain, watched = trained(), trained(eval_strategy="steps", eval_steps=2, load_best=False)
    watched.evaluate = evaluate
    assert losses(plain) == losses(watched)


def test_the_random_state_outside_is_left_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    trained().train()
    assert torch.equal(torch.rand(3), expected)


def test_accumulation_equals_large_batches_also_with_a_smaller_rest() -> None:
    whole, parts = TinyModel(), TinyModel()
    large = Trainer(whole, config(num_train_epochs=3), batches=TinyBatches((20, 17)), callbacks=())
    small = config(num_train_epochs=3, gradient_accumulation_steps=4)
    split = Trainer(parts, small, batches=TinyBatches((6, 4, 8, 2, 9, 8)), callbacks=())
    assert large.train().updates == split.train().updates == 6
    # Adam divides by the gradient's size, so roundings of the smallest gradients show.
    assert distance(weights(whole), weights(parts)) < 2e-5


@pytest.mark.parametrize(
    ("values", "updates", "epochs"),
    [
        ({"num_train_epochs": 3}, 15, 3.0),
        ({"num_train_epochs": 0.5}, 3, 0.6),
        ({"num_train_epochs": 1.2}, 6, 1.2),
        ({"max_steps": 7}, 7, 1.4),
        ({"num_train_epochs": 2, "gradient_accumulation_steps": 2}, 6, 2.0),
    ],
)
def test_runs_are_as_long_as_asked(values: dict[str, object], updates: int, epochs: float) -> None:
    report = trained(**values).train()
    assert (report.updates, report.epochs, report.stopped) == (updates, pytest.approx(epochs), "finished")


def test_tokens_are_counted_without_padding() -> None:
    report = trained(num_train_epochs=2).train()
    assert report.tokens == 2 * int(examples(torch.arange(40))["attention_mask"].sum())
    assert report.tokens_per_second > 0
    assert report.seconds > 0


def test_epochs_of_unequal_length_are_counted_as_they_are() -> None:
    class Growing(TinyBatches):
        def epoch(self, number: int) -> list[dict[str, Tensor]]:
            return super().epoch(number)[: 2 + number]

    report = Trainer(TinyModel(), config(num_train_epochs=3), batches=Growing(), callbacks=()).train()
    assert (report.updates, report.epochs) == (2 + 3 + 4, 3.0)


def test_epochs_may_be_streams() -> None:
    class Stream(TinyBatches):
        def epoch(self, number: int) -> Iterator[dict[str, Tensor]]:  # type: ignore[override]
            return iter(super().epoch(number))

    report = Trainer(TinyModel(), config(num_train_epochs=2), batches=Stream(), callbacks=()).train()
    assert (report.updates, report.epochs) == (10, 2.0)


def test_the_learning_rate_follows_the_schedule() -> None:
    report = trained(max_steps=10, warmup_steps=4, learning_rate=1.0).train()
    rates = [record.values["learning_rate"] for record in report.history]
    assert rates == pytest.approx([0, 0.25, 0.5, 0.75, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6])


def scripted(values: list[float], **settings: object) -> tuple[Trainer, list[dict[str, Tensor]]]:
    """A trainer whose evaluations return these values, and the weights at each of them."""
    seen: list[dict[str, Tensor]] = []

    def evaluate(model: nn.Module) -> dict[str, float]:
        assert not model.training
        seen.append(weights(model))
        return {"accuracy": values[len(seen) - 1]}

    settings = {"num_train_epochs": len(values), "eval_strategy": "epoch"} | settings
    return Trainer(TinyModel(), config(**settings), batches=TinyBatches(), evaluate=evaluate, callbacks=()), seen


def test_the_best_weights_are_restored() -> None:
    trainer, seen = scripted([0.5, 0.9, 0.7])
    report = trainer.train()
    assert (report.best_update, report.best_metrics) == (10, {"accuracy": 0.9})
    assert distance(weights(trainer.model), seen[1]) == 0.0
    assert distance(weights(trainer.model), seen[2]) > 0.0
    assert not trainer.model.training


def test_the_last_weights_stay_when_asked() -> None:
    trainer, seen = scripted([0.5, 0.9, 0.7], load_best=False)
    trainer.train()
    assert distance(weights(trainer.model), seen[2]) == 0.0


def test_early_stopping_counts_evaluations_without_a_new_best() -> None:
    trainer, seen = scripted([0.5, 0.4, 0.6, 0.6, 0.5, 0.9], early_stopping_patience=2)
    report = trainer.train()
    assert (report.stopped, report.updates, len(seen)) == ("early stopping", 25, 5)
    assert report.best_update == 15
    assert distance(weights(trainer.model), seen[2]) == 0.0


def test_the_end_is_evaluated_once() -> None:
    for settings, count in (({"eval_strategy": "steps", "eval_steps": 3, "max_steps": 7}, 3), ({"max_steps": 5}, 1)):
        trainer, seen = scripted([0.1] * 9, **settings)
        trainer.train()
        assert len(seen) == count


def saved_weights(folder: Path) -> dict[str, Tensor]:
    return torch.load(folder / "weights.pt")  # type: ignore[no-any-return]


def with_saving(trainer: Trainer, folder: Path) -> Trainer:
    trainer.save = lambda path: torch.save(trainer.model.state_dict(), path / "weights.pt")
    trainer.output_dir = folder
    return trainer


def test_best_and_last_are_saved(tmp_path: Path) -> None:
    trainer, seen = scripted([0.5, 0.9, 0.7])
    with_saving(trainer, tmp_path).train()
    assert distance(saved_weights(tmp_path / "best"), seen[1]) == 0.0
    assert distance(saved_weights(tmp_path / "last"), seen[2]) == 0.0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best", "last"]


def test_only_what_is_to_be_kept_is_saved(tmp_path: Path) -> None:
    trainer, _ = scripted([0.5, 0.9], keep=("best",))
    with_saving(trainer, tmp_path).train()
    assert [path.name for path in tmp_path.iterdir()] == ["best"]


def test_without_evaluation_the_last_is_saved(tmp_path: Path) -> None:
    trainer = with_saving(trained(), tmp_path)
    trainer.train()
    assert distance(saved_weights(tmp_path / "last"), weights(trainer.model)) == 0.0


class Interrupting:
    """A step during whose call number `at` Ctrl-C is pressed, or raises."""

    def __init__(self, at: int, *, by_signal: bool) -> None:
        self.at, self.by_signal, self.calls = at, by_signal, 0

    def weigh(self, batch: Batch) -> Weights:
        return weigh_labels(batch)

    def __call__(self, model: nn.Module, batch: Batch) -> StepResult:
        self.calls += 1
        if self.calls == self.at:
            if not self.by_signal:
                raise KeyboardInterrupt
            signal.raise_signal(signal.SIGINT)
        return SupervisedStep()(model, batch)


@pytest.mark.parametrize(("by_signal", "updates"), [(True, 4), (False, 3)])
def test_ctrl_c_ends_after_a_whole_update_and_saves(tmp_path: Path, by_signal: bool, updates: int) -> None:
    trainer = with_saving(trained(), tmp_path)
    trainer.step = Interrupting(4, by_signal=by_signal)
    report = trainer.train()
    assert (report.stopped, report.updates) == ("interrupted", updates)
    assert [record.update for record in report.history] == list(range(1, updates + 1))
    assert distance(saved_weights(tmp_path / "last"), weights(trainer.model)) == 0.0


def test_ctrl_c_does_not_wait_for_an_evaluation() -> None:
    trainer, seen = scripted([0.5, 0.9])
    trainer.step = Interrupting(5, by_signal=True)
    assert trainer.train().stopped == "interrupted"
    assert seen == []


def test_an_interrupted_run_goes_as_far_as_an_uninterrupted_one() -> None:
    whole, cut = trained(), trained()
    cut.step = Interrupting(4, by_signal=True)
    history = losses(whole)
    assert losses(cut) == history[:4]


def test_a_loss_that_is_not_finite_ends_the_run_and_tells_callbacks() -> None:
    ends: list[int] = []

    class Ending(Callback):
        def on_stop(self, run: Run) -> None:
            ends.append(run.update)

    step = Altered(lambda loss, batch: loss * (math.inf if trainer.run.update == 2 else 1.0))
    trainer = Trainer(TinyModel(), config(), batches=TinyBatches(), step=step, callbacks=[Ending()])
    with pytest.raises(TrainingError, match=r"update 3 on examples \d+, .*: the loss is inf"):
        trainer.train()
    assert ends == [2]


def test_nothing_to_train_on_is_refused() -> None:
    with pytest.raises(TrainingError, match="nothing to train on: there are no batches"):
        Trainer(TinyModel(), config(), batches=TinyBatches(()), callbacks=()).train()
    with pytest.raises(TrainingError, match="nothing to train on: epoch 0 has no batches"):
        Trainer(TinyModel(), config(max_steps=3), batches=TinyBatches(()), callbacks=()).train()


def test_missing_parts_are_refused_before_training() -> None:
    with pytest.raises(TrainingError, match="no output_dir"):
        Trainer(TinyModel(), config(), batches=TinyBatches(), save=lambda path: None)
    with pytest.raises(TrainingError, match="needs an evaluate function"):
        Trainer(TinyModel(), config(eval_strategy="epoch", early_stopping_patience=1), batches=TinyBatches())


def test_bf16_trains_with_weights_in_32_bits() -> None:
    trainer = trained(precision="bf16", num_train_epochs=20)
    history = losses(trainer)
    assert history[-1] < 0.6 * history[0]
    assert {parameter.dtype for parameter in trainer.model.parameters()} == {torch.float32}


def test_bert_adam_trains() -> None:
    history = losses(trained(optimizer="bert_adam", num_train_epochs=20))
    assert history[-1] < 0.5 * history[0]


def test_frozen_parameters_stay() -> None:
    model = TinyModel()
    model.embedding.weight.requires_grad_(False)
    before = weights(model)
    trained(model).train()
    assert torch.equal(model.embedding.weight, before["embedding.weight"])
    assert not torch.equal(model.classifier.weight, before["classifier.weight"])


def test_callbacks_are_told_in_order_and_may_stop_the_run(tmp_path: Path) -> None:
    events: list[str] = []

    class Witness(Callback):
        def on_start(self, run: Run) -> None:
            events.append(f"start {run.total_updates}")

        def on_step(self, run: Run, record: Record) -> None:
            events.append(f"step {record.update}")
            if record.update == 6:
                run.request_stop("enough")

        def on_evaluate(self, run: Run, record: Record) -> None:
            events.append(f"evaluate {record.values['accuracy']}")

        def on_save(self, run: Run, folder: Path) -> None:
            events.append(f"save {folder.name}")

        def on_stop(self, run: Run) -> None:
            events.append(f"stop {run.stop_reason}")

    trainer, _ = scripted([0.5, 0.4])
    trainer = Trainer(
        trainer.model,
        trainer.config,
        batches=TinyBatches(),
        evaluate=trainer.evaluate,
        save=lambda path: None,
        output_dir=tmp_path,
        callbacks=[Witness()],
    )
    assert trainer.train().stopped == "enough"
    steps = [f"step {number}" for number in range(1, 6)]
    first = ["start 10", *steps, "evaluate 0.5", "save best", "save last"]
    assert events == [*first, "step 6", "evaluate 0.4", "save last", "stop enough"]


def test_a_trainer_can_train_again() -> None:
    trainer = trained()
    before = trainer.train()
    after = trainer.train()
    assert after.updates == before.updates
    assert after.history[0].values["loss"] < before.history[0].values["loss"]
