"""Steps say what their losses are means over."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from plm.errors import TrainingError
from plm.training.step import SupervisedStep, count_labels, count_tokens, model_inputs
from tests.tiny_models import random_ids, tiny_model
from tests.training.tiny import Output, TinyModel, examples


def test_labels_are_counted_without_the_ignored() -> None:
    assert int(count_labels({"labels": torch.tensor([[1, -100], [0, 2]])})) == 3
    assert count_labels({"labels": torch.zeros(4, 3)}) == 12
    with pytest.raises(TrainingError, match=r'without "labels" \(it has: input_ids\)'):
        count_labels({"input_ids": torch.zeros(1)})


def test_real_tokens_are_counted() -> None:
    batch = {"input_ids": torch.zeros(2, 3), "attention_mask": torch.tensor([[1, 1, 0], [1, 0, 0]])}
    assert count_tokens(batch) == 3
    assert count_tokens({"input_ids": torch.zeros(2, 3)}) == 6
    assert count_tokens({"labels": torch.zeros(2)}) == 0


def test_supervised_step_takes_the_models_loss_and_its_labels_as_weight() -> None:
    model, batch, step = TinyModel(), examples(torch.arange(5)), SupervisedStep()
    assert {name: int(weight) for name, weight in step.weigh(batch).items()} == {"loss": 5}
    losses = step(model, batch).losses
    assert list(losses) == ["loss"]
    assert losses["loss"].item() == model(batch["input_ids"], batch["attention_mask"], batch["labels"]).loss.item()


def test_models_do_not_see_where_a_batch_comes_from() -> None:
    batch = examples(torch.arange(5)) | {"task": torch.tensor(1)}
    assert list(model_inputs(batch)) == ["input_ids", "attention_mask", "labels"]


def test_several_losses_of_a_model_are_taken_apart_and_count_by_their_factors() -> None:
    model = tiny_model("bert", "pretraining")
    batch = {
        "input_ids": random_ids(2, 5),
        "labels": torch.tensor([[1, -100, 3, -100, -100], [-100] * 5]),
        "next_sentence_label": torch.tensor([0, 1]),
    }
    step = SupervisedStep(
        weigh=lambda batch: {"masked_lm_loss": count_labels(batch), "next_sentence_loss": 2},
        factors={"next_sentence_loss": 0.25},
    )
    output, losses = model(**batch), step(model, batch).losses
    assert losses["masked_lm_loss"].item() == output.masked_lm_loss.item()
    assert losses["next_sentence_loss"].item() == 0.25 * output.next_sentence_loss.item()


def test_a_model_without_the_loss_is_refused() -> None:
    class NoLoss(nn.Module):
        def forward(self, labels: torch.Tensor) -> Output:
            return Output(labels)

    with pytest.raises(TrainingError, match="returned no 'loss'; its head must take the targets"):
        SupervisedStep()(NoLoss(), {"labels": torch.tensor([1])})


def test_a_supervised_step_logs_what_it_is_told_to_measure() -> None:
    step = SupervisedStep(logs=lambda output, batch: {"loss.doubled": 2.0 * output.loss.detach()})
    result = step(TinyModel(), examples(torch.arange(5)))
    assert list(result.logs) == ["loss.doubled"]
    assert float(result.logs["loss.doubled"]) == pytest.approx(2.0 * result.losses["loss"].item())
