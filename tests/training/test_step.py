"""Steps say what their loss is a mean over."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from plm.errors import TrainingError
from plm.training.step import SupervisedStep, count_labels, count_tokens
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


def test_supervised_step_takes_the_models_loss_and_hides_the_index() -> None:
    model, batch = TinyModel(), examples(torch.arange(5))
    result = SupervisedStep()(model, batch)
    assert int(result.weight) == 5
    assert result.loss.item() == model(batch["input_ids"], batch["attention_mask"], batch["labels"]).loss.item()


def test_a_model_without_loss_is_refused() -> None:
    class NoLoss(nn.Module):
        def forward(self, labels: torch.Tensor) -> Output:
            return Output(labels)

    with pytest.raises(TrainingError, match="returned no loss"):
        SupervisedStep()(NoLoss(), {"labels": torch.tensor([1])})
