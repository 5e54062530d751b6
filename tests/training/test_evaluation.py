"""Predictions come back in order, and a model as it was."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from plm.errors import DataError, ShapeError
from plm.training.evaluation import Evaluation, outputs, predict
from tests.training.tiny import Output, TinyBatches, TinyModel, examples


def test_logits_come_back_in_the_original_order() -> None:
    model = TinyModel(dropout=0.5)
    logits, labels = predict(model, TinyBatches((7, 20, 13)).epoch(3))
    whole = examples(torch.arange(40))
    expected = model.eval()(whole["input_ids"], whole["attention_mask"]).logits
    torch.testing.assert_close(logits, expected.detach())
    assert labels is not None
    assert torch.equal(labels, whole["labels"])
    assert not logits.requires_grad


def test_without_index_the_order_of_the_batches_stays_and_without_labels_there_are_none() -> None:
    batch = examples(torch.tensor([5, 2]))
    bare = {name: batch[name] for name in ("input_ids", "attention_mask")}
    logits, labels = predict(TinyModel(), [bare])
    assert labels is None
    torch.testing.assert_close(logits.flip(0), predict(TinyModel(), [examples(torch.tensor([2, 5]))])[0])


@pytest.mark.parametrize("was_training", [True, False])
def test_the_mode_of_the_model_comes_back(was_training: bool) -> None:
    model = TinyModel().train(was_training)
    for _ in outputs(model, TinyBatches().epoch(0)):
        assert not model.training
    assert model.training is was_training


def test_labels_are_not_shown_to_the_model() -> None:
    for batch, output in outputs(TinyModel(), TinyBatches().epoch(0)):
        assert "labels" in batch
        assert output.loss is None


def test_bf16_predictions_come_back_in_32_bits() -> None:
    exact, _ = predict(TinyModel(), TinyBatches().epoch(0))
    rounded, _ = predict(TinyModel(), TinyBatches().epoch(0), precision="bf16")
    assert rounded.dtype == torch.float32
    assert 0 < float((rounded - exact).abs().max()) < 0.05


def test_what_cannot_be_predicted_is_refused() -> None:
    class ByToken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))

        def forward(self, input_ids: Tensor) -> Output:
            return Output(input_ids.float() * self.weight)

    with pytest.raises(DataError, match="no batches to predict"):
        predict(TinyModel(), [])
    with pytest.raises(ShapeError, match=r"have different shapes \[\(3,\), \(4,\)\]; use plm.training.outputs"):
        predict(ByToken(), [{"input_ids": torch.zeros(2, 3)}, {"input_ids": torch.zeros(2, 4)}])


class Fixed(nn.Module):
    """Returns the logits that stand in the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, logits: Tensor) -> Output:
        return Output(logits)


@pytest.mark.parametrize(
    ("problem", "logits", "labels", "metrics", "loss"),
    [
        (
            "single_label_classification",
            [[2.0, 0.0], [0.0, 1.0], [1.0, 0.0]],
            [0, 1, 1],
            {"accuracy": 2 / 3, "macro_f1": 2 / 3, "matthews_correlation": 0.5},
            F.cross_entropy,
        ),
        (
            "multi_label_classification",
            [[2.0, -1.0], [1.0, 1.0], [-1.0, -1.0]],
            [[1.0, 0.0], [1.0, 0.0], [0.0, 0.0]],
            {"micro_f1": 0.8, "subset_accuracy": 2 / 3},
            F.binary_cross_entropy_with_logits,
        ),
        (
            "regression",
            [[1.0], [2.0], [3.0]],
            [1.0, 3.0, 2.0],
            {"pearson": 0.5, "spearman": 0.5},
            lambda logits, labels: ((logits[:, 0] - labels) ** 2).mean(),
        ),
    ],
)
def test_evaluation_gives_metrics_and_the_mean_loss_over_all_examples(
    problem: str, logits: list[object], labels: list[object], metrics: dict[str, float], loss: Callable[..., Tensor]
) -> None:
    pytest.importorskip("torchmetrics", reason='needs the extra "metrics"')
    scores, targets = torch.tensor(logits), torch.tensor(labels)
    batches = [{"logits": scores[:2], "labels": targets[:2]}, {"logits": scores[2:], "labels": targets[2:]}]
    result = Evaluation(batches, problem)(Fixed())  # type: ignore[arg-type]
    assert list(result) == [*metrics, "loss"]
    assert result == pytest.approx(metrics | {"loss": float(loss(scores, targets))})


def test_evaluation_needs_labels() -> None:
    with pytest.raises(DataError, match="needs batches with labels"):
        Evaluation([{"logits": torch.zeros(1, 2)}])(Fixed())
