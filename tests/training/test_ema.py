"""Averages follow the weights, are used where they should be, and never disturb training."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from plm.errors import TrainingError
from plm.training import ExponentialAverage, Trainer
from tests.training.tiny import TinyBatches, TinyModel, config, distance, weights


@settings(deadline=None, max_examples=30)
@given(st.floats(0.0, 0.9999), st.lists(st.floats(-5, 5), max_size=20))
def test_averages_are_those_of_the_formula(decay: float, values: list[float]) -> None:
    model = nn.Linear(1, 1, bias=False)
    average, expected = ExponentialAverage(model, decay), float(model.weight.detach())
    for number, value in enumerate(values, 1):
        nn.init.constant_(model.weight, value)
        average.update()
        share = min(decay, (1 + number) / (10 + number))
        expected = share * expected + (1 - share) * value
    assert float(average.averages["weight"]) == pytest.approx(expected, abs=1e-4)


def test_own_weights_come_back_bit_for_bit_also_after_an_error() -> None:
    model = TinyModel()
    average = ExponentialAverage(model, 0.9)
    nn.init.normal_(model.classifier.weight)
    average.update()
    before = weights(model)

    def fail() -> None:
        with average.applied():
            assert distance(weights(model), before) > 0
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert distance(weights(model), before) == 0.0


def test_16_bit_weights_are_averaged_in_32_bits() -> None:
    model = nn.Linear(1, 1, bias=False, dtype=torch.bfloat16)
    nn.init.constant_(model.weight, 1.0)
    average = ExponentialAverage(model, 0.999)
    average.updates = 10**6
    nn.init.constant_(model.weight, 2.0)
    for _ in range(100):
        average.update()
    assert float(average.averages["weight"]) == pytest.approx(2 - 0.999**100, rel=1e-5)


def test_frozen_parameters_are_left_out() -> None:
    model = TinyModel()
    model.embedding.weight.requires_grad_(False)
    assert "embedding.weight" not in ExponentialAverage(model, 0.9).averages


def test_states_go_on_and_those_of_other_parameters_are_refused() -> None:
    first, second = ExponentialAverage(TinyModel(), 0.9), ExponentialAverage(TinyModel(seed=1), 0.9)
    first.update()
    second.load_state_dict(first.state_dict())
    assert second.updates == 1
    assert distance(first.averages, second.averages) == 0.0
    with pytest.raises(TrainingError, match="of other parameters than the model trains: bias, "):
        ExponentialAverage(nn.Linear(1, 1), 0.9).load_state_dict(first.state_dict())
    with pytest.raises(TrainingError, match=r"decay: expected a number in \[0, 1\), got 1.0"):
        ExponentialAverage(TinyModel(), 1.0)


def trained(tmp_path: Path, **values: object) -> tuple[Trainer, list[dict[str, Tensor]]]:
    """A trainer after its run, and the weights at each of its evaluations."""
    seen: list[dict[str, Tensor]] = []

    def evaluate(model: nn.Module) -> dict[str, float]:
        seen.append(weights(model))
        return {"accuracy": [0.5, 0.9, 0.7][len(seen) - 1]}

    trainer = Trainer(
        TinyModel(),
        config(num_train_epochs=3, eval_strategy="epoch", ema_decay=0.9, log_every=1, **values),
        batches=TinyBatches(),
        evaluate=evaluate,
        save=lambda path: torch.save(trainer.model.state_dict(), path / "weights.pt"),
        output_dir=tmp_path,
        callbacks=(),
    )
    trainer.report = trainer.train()  # type: ignore[attr-defined]
    return trainer, seen


def test_evaluated_kept_and_saved_weights_are_the_averages(tmp_path: Path) -> None:
    trainer, seen = trained(tmp_path)
    assert distance(torch.load(tmp_path / "best" / "weights.pt"), seen[1]) == 0.0
    assert distance(torch.load(tmp_path / "last" / "weights.pt"), seen[2]) == 0.0
    assert distance(weights(trainer.model), seen[1]) == 0.0


def test_the_model_ends_with_the_averages_when_the_best_are_not_asked_for(tmp_path: Path) -> None:
    trainer, seen = trained(tmp_path, load_best=False)
    assert distance(weights(trainer.model), seen[2]) == 0.0


def test_training_does_not_see_the_averages(tmp_path: Path) -> None:
    trainer, _ = trained(tmp_path)
    plain = Trainer(TinyModel(), config(num_train_epochs=3, log_every=1), batches=TinyBatches(), callbacks=())
    losses = [record.values["loss"] for record in plain.train().history]
    report = trainer.report  # type: ignore[attr-defined]
    assert [record.values["loss"] for record in report.history if record.kind == "train"] == losses
