"""An update of several batches is the update of one large batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from plm.errors import TrainingError
from plm.training.step import Batch, StepResult, SupervisedStep, Weights, weigh_labels
from plm.training.update import Updater
from tests.tiny_models import random_ids, tiny_model
from tests.training.tiny import Altered, TinyModel, config, distance, examples, weights


def descent(model: nn.Module, **values: object) -> Updater:
    """An updater with plain gradient descent, which, unlike Adam, shows the size of the gradient."""
    updater = Updater(model, config(**values), SupervisedStep())
    updater.optimizer, updater.peaks = torch.optim.SGD(updater.parameters, lr=1.0), [1.0]
    return updater


def updated(batches: Sequence[Batch], **values: object) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Weights and logged values after one update."""
    model = TinyModel()
    logged = descent(model, **values)(batches, number=1, factor=1.0)
    return weights(model), logged


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.sampled_from([None, 0.05]))
def test_unequal_batches_equal_one_batch(sizes: list[int], max_grad_norm: float | None) -> None:
    index = torch.arange(sum(sizes))
    whole, logged_whole = updated([examples(index)], max_grad_norm=max_grad_norm)
    parts, logged_parts = updated([examples(part) for part in index.split(sizes)], max_grad_norm=max_grad_norm)
    assert distance(whole, parts) < 1e-6
    assert logged_parts == pytest.approx(logged_whole, abs=1e-6)


class TokenModel(nn.Module):
    """A class for every token; -100 = not counted."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(11, 5)

    def forward(self, input_ids: Tensor, labels: Tensor) -> Batch:
        class Result:
            loss = nn.functional.cross_entropy(self.embedding(input_ids).flatten(0, 1), labels.flatten())

        return Result()  # type: ignore[return-value]


@pytest.mark.parametrize("sizes", [(4, 4), (1, 7), (1, 2, 5)])
def test_unequal_token_counts_equal_one_batch(sizes: tuple[int, ...]) -> None:
    torch.manual_seed(1)
    ids, labels = torch.randint(0, 11, (8, 6)), torch.randint(0, 5, (8, 6))
    labels[torch.rand(8, 6) < 0.6] = -100
    results = []
    for parts in ((8,), sizes):
        model = TokenModel()
        pieces = zip(ids.split(list(parts)), labels.split(list(parts)), strict=True)
        descent(model, max_grad_norm=None)([{"input_ids": i, "labels": t} for i, t in pieces], number=1, factor=1.0)
        results.append(weights(model))
    assert distance(*results) < 1e-6


def test_clipping_limits_the_norm_over_all_parameters() -> None:
    model = TinyModel()
    before = weights(model)
    logged = descent(model, max_grad_norm=0.01)([examples(torch.arange(8))], number=1, factor=1.0)
    moved = math.sqrt(sum(float((before[name] - tensor).square().sum()) for name, tensor in weights(model).items()))
    assert logged["grad_norm"] > 0.01
    assert moved == pytest.approx(0.01, rel=1e-3)


def test_groups_keep_their_own_learning_rates() -> None:
    updater = Updater(TinyModel(), config(), SupervisedStep())
    updater.peaks = [0.1, 0.2]
    logged = updater([examples(torch.arange(8))], number=1, factor=0.5)
    assert [group["lr"] for group in updater.optimizer.param_groups] == [0.05, 0.1]
    assert logged["learning_rate"] == 0.005  # that of the config; the groups' own ones are shares or multiples of it


def test_logs_are_weighted_means() -> None:
    class Logging:
        def weigh(self, batch: Batch) -> Weights:
            return weigh_labels(batch)

        def __call__(self, model: nn.Module, batch: Batch) -> StepResult:
            size = len(batch["labels"])
            return StepResult(SupervisedStep()(model, batch).losses, {"size": size, "twice": torch.tensor(2.0 * size)})

    logged = Updater(TinyModel(), config(), Logging())(
        [examples(torch.arange(6)), examples(torch.arange(2))], number=1, factor=1.0
    )
    assert logged["size"] == pytest.approx((6 * 6 + 2 * 2) / 8)
    assert logged["twice"] == pytest.approx(10.0)


def test_a_batch_without_labels_counts_nothing() -> None:
    full, empty = examples(torch.arange(8)), examples(torch.arange(1))
    empty["labels"] = torch.tensor([-100])  # cross_entropy takes a mean over nothing: nan
    step = SupervisedStep()
    logged = [
        Updater(TinyModel(), config(), step)(batches, number=1, factor=1.0)
        for batches in ([full], [empty, full], [full, empty])
    ]
    assert logged[1] == pytest.approx(logged[0], abs=1e-6)
    assert logged[2] == pytest.approx(logged[0], abs=1e-6)


def test_dropout_depends_on_seed_and_update_alone() -> None:
    def loss(seed: int, number: int) -> float:
        updater = Updater(TinyModel(dropout=0.5), config(seed=seed), SupervisedStep())
        return updater([examples(torch.arange(8))], number=number, factor=0.0)["loss"]

    assert loss(1, 3) == loss(1, 3)
    assert len({loss(1, 3), loss(1, 4), loss(2, 3)}) == 3


def test_scaled_losses_give_the_same_update() -> None:
    """What fp16 does on CUDA, here on the CPU, where the scaler works too."""
    parts = [examples(part) for part in torch.arange(12).split([5, 7])]
    results = []
    for enabled in (False, True):
        model = TinyModel()
        updater = descent(model)
        updater.scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, enabled=enabled)
        logged = updater(parts, number=1, factor=1.0)
        results.append((weights(model), logged))
    assert distance(results[0][0], results[1][0]) < 1e-6
    assert results[1][1] == pytest.approx(results[0][1] | {"loss_scale": 1024.0}, abs=1e-6)


def test_an_overflow_in_fp16_skips_the_update_and_lowers_the_scale() -> None:
    model = TinyModel()
    before = weights(model)
    updater = Updater(model, config(), Altered(lambda loss, batch: loss * 1e30))
    updater.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**60)
    logged = updater([examples(torch.arange(4))], number=1, factor=1.0)
    assert not math.isfinite(logged["grad_norm"])
    assert distance(before, weights(model)) == 0.0
    assert logged["loss_scale"] == 2.0**59


def test_a_scale_that_falls_and_falls_stops_at_one_and_ends_the_run() -> None:
    updater = Updater(TinyModel(), config(), Altered(lambda loss, batch: (loss * 0.0).sqrt()))
    updater.scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    for number in range(1, 20):
        logged = updater([examples(torch.arange(4))], number=number, factor=1.0)
        assert logged["loss_scale"] == max(1.0, 4.0 / 2**number)
    with pytest.raises(TrainingError, match=r"update 20: gradients overflowed in fp16 in 20 updates in a row.* to 1\."):
        updater([examples(torch.arange(4))], number=20, factor=1.0)


def test_one_good_update_ends_a_row_of_skipped_ones() -> None:
    updater = Updater(TinyModel(), config(), Altered(lambda loss, batch: loss if is_good else (loss * 0.0).sqrt()))
    updater.scaler = torch.amp.GradScaler("cpu", init_scale=1.0)
    for number in range(1, 60):
        is_good = number % 19 == 0
        updater([examples(torch.arange(4))], number=number, factor=0.0)
    assert updater.skipped == 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_every_format_trains_on_cuda(precision: str) -> None:
    batches = [examples(torch.arange(40))]
    updater = Updater(TinyModel().cuda(), config(precision=precision), SupervisedStep())
    losses = [updater(batches, number=number, factor=1.0)["loss"] for number in range(1, 101)]
    assert losses[-1] < 0.5 * losses[0]


def test_a_loss_that_is_not_finite_names_update_and_examples_and_spares_the_weights() -> None:
    step = Altered(lambda loss, batch: loss * (math.nan if 3 in batch["index"] else 1.0))
    model = TinyModel()
    before = weights(model)
    batches = [examples(torch.tensor([0, 1])), examples(torch.tensor([2, 3]))]
    with pytest.raises(
        TrainingError, match=r"update 17 on examples 2, 3: the loss is nan\. The weights are those before"
    ):
        Updater(model, config(), step)(batches, number=17, factor=1.0)
    assert distance(before, weights(model)) == 0.0


def test_a_loss_that_is_not_finite_is_named_with_its_task() -> None:
    class TwoLosses:
        def weigh(self, batch: Batch) -> Weights:
            return {"good": 1, "bad": 1}

        def __call__(self, model: nn.Module, batch: Batch) -> StepResult:
            loss = SupervisedStep()(model, batch).losses["loss"]
            return StepResult({"good": loss, "bad": loss * (math.inf if int(batch["task"]) == 2 else 1.0)})

    batches = [examples(torch.tensor([4, 5])) | {"task": torch.tensor(task)} for task in (1, 2)]
    with pytest.raises(TrainingError, match="update 3, task 2 on examples 4, 5: the loss bad is inf"):
        Updater(TinyModel(), config(), TwoLosses())(batches, number=3, factor=1.0)


def test_a_gradient_that_is_not_finite_is_refused() -> None:
    step = Altered(lambda loss, batch: (loss * 0.0).sqrt())
    with pytest.raises(TrainingError, match="update 1 on examples 0, 1: the loss is 0, but its gradient is not finite"):
        Updater(TinyModel(), config(), step)([examples(torch.arange(2))], number=1, factor=1.0)


def test_bookkeeping_stays_where_it_is_and_comes_to_the_step() -> None:
    seen: list[Batch] = []

    def look(loss: Tensor, batch: Batch) -> Tensor:
        seen.append(batch)
        return loss

    batch = examples(torch.arange(3)) | {"task": torch.tensor(1)}
    Updater(TinyModel(), config(), Altered(look))([batch], number=1, factor=1.0)
    assert seen[0]["index"] is batch["index"]
    assert seen[0]["task"] is batch["task"]


# A compiled model draws other dropout, plm.blocks.dropout.
@pytest.mark.parametrize(("option", "dropout"), [("gradient_checkpointing", 0.2), ("torch_compile", 0.0)])
def test_recomputed_and_compiled_models_make_the_same_update(
    option: str, dropout: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Not inductor, which needs a C++ compiler and a minute: what it makes of the graph is not ours to test.
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    batch = {"input_ids": random_ids(4, 6), "labels": torch.tensor([0, 1, 1, 0])}
    results = []
    for is_on in (False, True):
        model = tiny_model("bert", "sequence_classification", hidden_dropout_prob=dropout)
        updater = Updater(model, config(**{option: is_on}), SupervisedStep())
        updater([batch], number=1, factor=1.0)
        results.append(weights(model))
    assert distance(*results) < 1e-6


def test_a_model_that_cannot_recompute_is_refused() -> None:
    with pytest.raises(TrainingError, match="TinyModel has no method gradient_checkpointing_enable"):
        Updater(TinyModel(), config(gradient_checkpointing=True), SupervisedStep())
