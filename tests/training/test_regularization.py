"""R-Drop: two predictions under different dropout, and how far they are apart."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from plm.errors import ConfigError, ShapeError, TrainingError
from plm.training.mixture_step import MixtureStep
from plm.training.regularization import RDropStep
from plm.training.step import Batch, StepResult, SupervisedStep
from plm.training.update import Updater
from tests.tiny_models import FAMILY_NAMES, random_ids, tiny_model
from tests.training.tiny import Output, TinyModel, config, distance, examples, weights

ALPHA = 0.7


@dataclass
class Said(nn.Module):
    """A model that says what it is told to, whatever the batch."""

    logits: Tensor

    def __post_init__(self) -> None:
        super().__init__()

    def forward(self, input_ids: Tensor, labels: Tensor) -> Output:
        return Output(self.logits, self.logits.float().mean())


def divergence(logits: Tensor, labels: Tensor) -> float:
    batch = {"input_ids": torch.zeros(len(labels), 3, dtype=torch.int64), "labels": labels}
    return RDropStep(SupervisedStep(), ALPHA)(Said(logits), batch).losses["r_drop"].item() / ALPHA


def kl(p: list[float], q: list[float]) -> float:
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def test_the_divergence_of_classes_is_the_mean_of_both_directions() -> None:
    p, q = [0.7, 0.2, 0.1], [0.5, 0.25, 0.25]
    found = divergence(torch.tensor([p, q]).log() + 3.0, torch.tensor([1]))
    assert found == pytest.approx((kl(p, q) + kl(q, p)) / 2, rel=1e-5)


def test_the_divergence_of_several_labels_is_that_of_each_class() -> None:
    p, q = 0.9, 0.4
    logits = torch.tensor([[p, 0.5], [q, 0.5]]).logit()
    expected = (kl([p, 1 - p], [q, 1 - q]) + kl([q, 1 - q], [p, 1 - p])) / 2
    assert divergence(logits, torch.tensor([[1.0, 0.0]])) == pytest.approx(expected / 2, rel=1e-5)


def test_the_divergence_of_scores_is_half_the_squared_difference() -> None:
    assert divergence(torch.tensor([[2.0], [1.0], [5.0], [1.0]]), torch.tensor([2.5, 1.0])) == pytest.approx(9 / 4)


def test_uncounted_tokens_are_left_out() -> None:
    logits = torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[1, -100, 2], [-100, -100, 0]])
    single = [divergence(logits[[i, i + 2], j][:, None], labels[i, j].view(1, 1)) for i, j in ((0, 0), (0, 2), (1, 2))]
    assert divergence(logits, labels) == pytest.approx(sum(single) / 3, rel=1e-5)
    assert divergence(logits, torch.full((2, 3), -100)) == 0.0


def test_spans_count_where_they_lie_inside_the_text() -> None:
    @dataclass
    class Spans:
        start_logits: Tensor
        end_logits: Tensor
        loss: Tensor

    class Reader(nn.Module):
        def forward(self, input_ids: Tensor, start_positions: Tensor, end_positions: Tensor) -> Spans:
            start = torch.tensor([[0.0, 1.0], [0.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
            padding = torch.full((4, 1), torch.finfo(torch.float32).min)
            start = torch.cat((start, padding), 1)
            return Spans(start, torch.zeros(4, 3), start[:, 0].mean())

    batch = {
        "input_ids": torch.zeros(2, 3, dtype=torch.int64),
        "start_positions": torch.tensor([1, 0]),
        "end_positions": torch.tensor([1, 7]),
    }
    step = RDropStep(SupervisedStep(weigh=lambda batch: {"loss": 2}), 1.0)
    assert int(step.weigh(batch)["r_drop"]) == 3
    p = 1 / (1 + math.e)
    expected = (kl([p, 1 - p], [1 - p, p]) + kl([1 - p, p], [p, 1 - p])) / 2
    assert step(Reader(), batch).losses["r_drop"].item() == pytest.approx(expected / 3, rel=1e-5)


def test_near_predictions_in_16_bits_are_told_apart() -> None:
    logits = torch.tensor([[3.0, 0.0], [3.0, 0.015625]], dtype=torch.bfloat16)
    assert divergence(logits, torch.tensor([0])) == pytest.approx(
        divergence(logits.double(), torch.tensor([0])), rel=1e-3
    )
    assert divergence(logits, torch.tensor([0])) > 0.0


def test_without_dropout_it_changes_nothing() -> None:
    model, batch = TinyModel(), examples(torch.arange(6))
    plain, twice = SupervisedStep()(model, batch), RDropStep(SupervisedStep(), 1.0)(model, batch)
    assert twice.losses["task_loss"].item() == pytest.approx(plain.losses["loss"].item(), abs=1e-6)
    assert twice.losses["r_drop"].item() == 0.0


def test_the_loss_of_the_step_is_the_mean_of_two_passes() -> None:
    model, batch = TinyModel(dropout=0.5), examples(torch.arange(6))
    torch.manual_seed(3)
    result = RDropStep(SupervisedStep(), 1.0)(model, batch)
    torch.manual_seed(3)
    doubled = {name: torch.cat((tensor, tensor)) for name, tensor in batch.items() if name != "index"}
    logits = model(**doubled).logits
    first, second = logits.chunk(2)
    passes = [F.cross_entropy(part, batch["labels"]) for part in (first, second)]
    assert result.losses["task_loss"].item() == pytest.approx(sum(passes).item() / 2, abs=1e-6)  # type: ignore[attr-defined]
    assert not torch.equal(first, second)
    assert result.losses["r_drop"].item() > 0.0


def test_both_losses_reach_the_weights() -> None:
    model = TinyModel(dropout=0.5)
    RDropStep(SupervisedStep(), 1.0)(model, examples(torch.arange(6))).losses["r_drop"].backward()
    assert model.embedding.weight.grad is not None
    assert model.embedding.weight.grad.abs().max() > 0.0


def test_weights_are_those_of_the_step_and_the_compared_predictions() -> None:
    step = RDropStep(SupervisedStep(weigh=lambda batch: {"loss": 17}), 1.0)
    batch = {"input_ids": torch.zeros(2, 2), "labels": torch.tensor([[1, -100], [0, 2]])}
    assert {name: int(weight) for name, weight in step.weigh(batch).items()} == {"task_loss": 17, "r_drop": 3}
    assert int(step.weigh({"labels": torch.zeros(4, 3)})["r_drop"]) == 12


def test_the_model_is_reached_through_the_wrapper() -> None:
    class Curious(SupervisedStep):
        def __call__(self, model: nn.Module, batch: Batch) -> StepResult:
            assert model.classifier.out_features == 2  # type: ignore[union-attr]
            assert int(batch["task"]) == 1
            return super().__call__(model, {name: tensor for name, tensor in batch.items() if name != "task"})

    batch = examples(torch.arange(4)) | {"task": torch.tensor(1)}
    assert set(RDropStep(Curious(), 1.0)(TinyModel(), batch).losses) == {"task_loss", "r_drop"}


def test_tasks_of_a_mixture_are_compared_on_their_own_heads() -> None:
    model = tiny_model("bert", "sequence_classification", "token_classification", hidden_dropout_prob=0.2)
    steps = {"sequence_classification": SupervisedStep(), "token_classification": SupervisedStep()}
    ids, labels = random_ids(3, 5), (torch.tensor([0, 1, 1]), torch.tensor([[0, 1, -100, -100, 1]] * 3))
    step = RDropStep(MixtureStep(steps), 1.0)
    for number, (name, count) in enumerate({"sequence_classification": 3, "token_classification": 9}.items()):
        batch = {"input_ids": ids, "labels": labels[number], "task": torch.tensor(number)}
        assert {loss: int(weight) for loss, weight in step.weigh(batch).items()} == {name: count, "r_drop": count}
        losses = step(model, batch).losses
        assert losses.keys() == {name, "r_drop"}
        assert losses["r_drop"].item() > 0.0


def test_what_it_cannot_compare_is_refused() -> None:
    batch = examples(torch.arange(4))
    step = RDropStep(SupervisedStep(), 1.0)

    def twice(model: nn.Module, batch: Batch) -> StepResult:
        SupervisedStep()(model, batch)
        return SupervisedStep()(model, batch)

    with pytest.raises(TrainingError, match="calls the model once, got 2 calls"):
        RDropStep(twice, 1.0)(TinyModel(), batch)  # type: ignore[arg-type]
    with pytest.raises(TrainingError, match=r"needs targets .* \(it has: input_ids\)"):
        RDropStep(SupervisedStep(weigh=lambda batch: {}), 1.0).weigh({"input_ids": batch["input_ids"]})
    with pytest.raises(TrainingError, match="applied once"):
        RDropStep(step, 1.0).weigh(batch)
    with pytest.raises(ShapeError, match=r"logits .* \(8, 2\), which do not fit labels \(4, 3\)"):
        step(Said(torch.zeros(8, 2)), {"input_ids": torch.zeros(4, 3), "labels": torch.zeros(4, 3)})
    with pytest.raises(ConfigError, match=r"alpha: expected a positive number, got 0\.0"):
        RDropStep(SupervisedStep(), 0.0)


class Uneven(TinyModel):
    """A model whose second predictions differ from the first by a rule, not by chance."""

    def forward(self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor | None = None) -> Output:
        logits = super().forward(input_ids, attention_mask).logits
        half = len(logits) // 2
        logits = torch.cat((logits[:half], 1.5 * logits[half:]))
        return Output(logits, None if labels is None else F.cross_entropy(logits, labels))


@pytest.mark.parametrize("sizes", [[4, 4, 4], [1, 4, 7]])
def test_several_batches_with_r_drop_are_one_large_batch(sizes: list[int]) -> None:
    results = []
    for parts in ([12], sizes):
        model = Uneven()
        updater = Updater(model, config(r_drop=ALPHA), SupervisedStep())
        updater.optimizer, updater.peaks = torch.optim.SGD(updater.parameters, lr=1.0), [1.0]
        logged = updater([examples(part) for part in torch.arange(12).split(parts)], number=1, factor=1.0)
        results.append((weights(model), logged))
    assert distance(results[0][0], results[1][0]) < 1e-6
    assert results[0][1] == pytest.approx(results[1][1], abs=1e-6)
    assert results[0][1]["r_drop"] > 0.0
    assert results[0][1]["loss"] == pytest.approx(results[0][1]["task_loss"] + results[0][1]["r_drop"], abs=1e-6)


def test_with_r_drop_dropout_depends_on_seed_and_update_alone() -> None:
    def loss(seed: int, number: int) -> float:
        updater = Updater(TinyModel(dropout=0.5), config(seed=seed, r_drop=1.0), SupervisedStep())
        return updater([examples(torch.arange(8))], number=number, factor=0.0)["loss"]

    assert loss(1, 3) == loss(1, 3)
    assert len({loss(1, 3), loss(1, 4), loss(2, 3)}) == 3


def test_r_drop_with_an_adversary_in_16_bits() -> None:
    options = {"r_drop": 1.0, "adversarial": "fgm", "adversarial_target": "embedding.weight", "precision": "bf16"}
    updater = Updater(TinyModel(dropout=0.1), config(**options), SupervisedStep())
    batches = [examples(torch.arange(40))]
    losses = [updater(batches, number=number, factor=1.0)["loss"] for number in range(1, 61)]
    assert losses[-1] < 0.6 * losses[0]


@pytest.mark.parametrize("head", ["sequence_classification", "token_classification", "question_answering"])
@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_the_heads_of_all_families_are_compared(family: str, head: str) -> None:
    model = tiny_model(family, head, hidden_dropout_prob=0.2)
    ids = random_ids(3, 7)
    batch: dict[str, Tensor] = {
        "input_ids": ids,
        "attention_mask": (torch.arange(7) < torch.tensor([[7], [3], [5]])).long(),
    }
    targets = {
        "sequence_classification": {"labels": torch.tensor([0, 1, 0])},
        "token_classification": {"labels": torch.where(batch["attention_mask"] == 1, 1, -100)},
        "question_answering": {"start_positions": torch.tensor([0, 1, 2]), "end_positions": torch.tensor([3, 2, 9])},
    }[head]
    step = RDropStep(SupervisedStep(weigh=lambda batch: {"loss": 3}), 1.0)
    result = step(model, batch | targets)
    assert 0.0 < result.losses["r_drop"].item() < 10.0
    counts = {"sequence_classification": 3, "token_classification": 15, "question_answering": 5}
    assert int(step.weigh(batch | targets)["r_drop"]) == counts[head]
