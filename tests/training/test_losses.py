"""Losses from logits: torch's where torch has them, and exact sums over any batches."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from plm.errors import ConfigError, ShapeError, TrainingError
from plm.training.losses import (
    CrossEntropy,
    Kind,
    LogitsLoss,
    LogitsStep,
    MultiLabelCrossEntropy,
    balanced_weights,
    supervised_step,
)
from plm.training.step import Batch, SupervisedStep, Weights
from plm.training.update import Updater
from tests.training.test_accumulation import CASES, LENGTH, ROWS, Case, classes, some
from tests.training.tiny import TinyModel, distance, examples
from tests.training.tiny import config as tiny_config
from tests.training.tiny import weights as weights_of

WEIGHTS = (0.5, 2.0, 1.25)


def draw(seed: int, rows: int = 6, *, ignored: bool = True) -> tuple[Tensor, Tensor]:
    """Logits (rows, 4, 3) with gradient and labels (rows, 4), some of them -100."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(rows, 4, 3, generator=generator)
    labels = torch.randint(0, 3, (rows, 4), generator=generator)
    if ignored:
        labels[torch.rand(rows, 4, generator=generator) < 0.3] = -100
    return logits.requires_grad_(), labels


def spread(labels: Tensor) -> Tensor:
    """Labels (..., 3) of several classes each from labels of one class."""
    return torch.where(labels[..., None] == -100, -100.0, F.one_hot(labels.clamp(min=0), 3).float())


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 999), st.sampled_from([0.0, 0.1, 0.7]), st.sampled_from([None, WEIGHTS]))
def test_cross_entropy_equals_torch(seed: int, smoothing: float, weights: tuple[float, ...] | None) -> None:
    logits, labels = draw(seed)
    weight = None if weights is None else torch.tensor(weights)
    theirs = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), weight=weight, label_smoothing=smoothing)
    for gamma in (0.0, 1e-12):  # torch's kernel, and our sum as gamma vanishes
        ours = CrossEntropy(label_smoothing=smoothing, class_weights=weights, focal_gamma=gamma)(logits, labels)
        torch.testing.assert_close(ours, theirs)
        (gradient,) = torch.autograd.grad(ours, logits)
        torch.testing.assert_close(gradient, torch.autograd.grad(theirs, logits, retain_graph=True)[0])


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 999), st.sampled_from([None, WEIGHTS]))
def test_multi_label_cross_entropy_equals_torch(seed: int, weights: tuple[float, ...] | None) -> None:
    logits, labels = draw(seed, ignored=False)
    weight = None if weights is None else torch.tensor(weights)
    theirs = F.binary_cross_entropy_with_logits(logits, spread(labels), weight=weight)
    torch.testing.assert_close(MultiLabelCrossEntropy(class_weights=weights)(logits, spread(labels)), theirs)


def test_focal_loss_equals_its_formula() -> None:
    """Lin et al. 2017, equation 5: - alpha_y (1 - p_y) ** gamma log p_y."""
    logits, labels = draw(3)
    chance = logits.softmax(-1).gather(-1, labels.clamp(min=0)[..., None])[..., 0]
    alpha = torch.tensor(WEIGHTS)[labels.clamp(min=0)] * (labels != -100)
    expected = -(alpha * (1 - chance) ** 2 * chance.log()).sum() / alpha.sum()
    torch.testing.assert_close(CrossEntropy(focal_gamma=2.0, class_weights=WEIGHTS)(logits, labels), expected)


def test_focal_multi_label_loss_equals_its_formula() -> None:
    logits, labels = draw(4, ignored=False)
    wanted = spread(labels)
    chance = torch.where(wanted == 1, logits.sigmoid(), 1 - logits.sigmoid())
    expected = -((1 - chance) ** 1.5 * chance.log()).mean()
    torch.testing.assert_close(MultiLabelCrossEntropy(focal_gamma=1.5)(logits, wanted), expected)


def test_multi_label_smoothing_moves_labels_towards_a_half() -> None:
    logits, labels = draw(5, ignored=False)
    expected = F.binary_cross_entropy_with_logits(logits, spread(labels) * 0.8 + 0.1)
    torch.testing.assert_close(MultiLabelCrossEntropy(label_smoothing=0.2)(logits, spread(labels)), expected)


LOSSES = [
    kind(label_smoothing=smoothing, focal_gamma=gamma, class_weights=weights)
    for kind in (CrossEntropy, MultiLabelCrossEntropy)
    for smoothing in (0.0, 0.1)
    for gamma in (0.0, 0.5, 2.0)
    for weights in (None, WEIGHTS)
]


@settings(deadline=None, max_examples=40)
@given(st.sampled_from(LOSSES), st.integers(0, 999), st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_weighted_means_of_batches_are_the_loss_of_all(loss: LogitsLoss, seed: int, sizes: list[int]) -> None:
    logits, labels = draw(seed, sum(sizes))
    if isinstance(loss, MultiLabelCrossEntropy):
        labels = spread(labels)
    weights = [loss.weigh(part) for part in labels.split(sizes)]
    means = [loss(*pair) for pair in zip(logits.split(sizes), labels.split(sizes), strict=True)]
    total = sum(weight * mean for weight, mean in zip(weights, means, strict=True))
    whole = loss(logits, labels)
    torch.testing.assert_close(loss.weigh(labels), torch.stack(weights).sum())
    torch.testing.assert_close(total / loss.weigh(labels).clamp(min=1e-9), whole)


@pytest.mark.parametrize("loss", LOSSES)
def test_nothing_that_counts_gives_zero_with_gradients(loss: LogitsLoss) -> None:
    logits, labels = draw(0)
    ignored = torch.full_like(spread(labels) if isinstance(loss, MultiLabelCrossEntropy) else labels, -100)
    value = loss(logits, ignored)
    value.backward()
    assert (value.item(), loss.weigh(ignored).item()) == (0.0, 0.0)
    assert logits.grad is not None
    assert not logits.grad.any()


@pytest.mark.parametrize("loss", LOSSES)
def test_certain_predictions_have_finite_gradients(loss: LogitsLoss) -> None:
    logits = torch.tensor([[200.0, 0.0, 0.0], [0.0, 200.0, 0.0]], requires_grad=True)
    labels = torch.tensor([0, 2])
    value = loss(logits, spread(labels) if isinstance(loss, MultiLabelCrossEntropy) else labels)
    value.backward()
    assert value.isfinite()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_sixteen_bits_are_computed_in_thirty_two() -> None:
    logits, labels = draw(1)
    half = logits.detach().bfloat16()
    for gamma in (0.0, 2.0):
        loss = CrossEntropy(focal_gamma=gamma)
        assert torch.equal(loss(half, labels), loss(half.float(), labels))


def test_what_does_not_fit_is_refused() -> None:
    logits, labels = draw(0)
    with pytest.raises(ShapeError, match=r"labels \(6, 3\) do not fit logits \(6, 4, 3\)"):
        CrossEntropy()(logits, labels[:, :3])
    with pytest.raises(ShapeError, match=r"labels \(6, 4\) do not fit"):
        MultiLabelCrossEntropy()(logits, labels)
    with pytest.raises(ShapeError, match="class_weights: 2 weights for 3 classes"):
        CrossEntropy(class_weights=(1.0, 2.0))(logits, labels)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=6).filter(any))
def test_balanced_classes_count_the_same(counts: list[int]) -> None:
    shares = [count * weight for count, weight in zip(counts, balanced_weights(counts), strict=True) if count]
    assert shares == pytest.approx([shares[0]] * len(shares))
    assert sum(shares) == pytest.approx(sum(counts))


@pytest.mark.parametrize("counts", [[], [0, 0], [3, -1]])
def test_counts_have_to_make_sense(counts: list[int]) -> None:
    with pytest.raises(TrainingError, match="class_weights: expected counts"):
        balanced_weights(counts)


@dataclass
class Output:
    logits: Tensor | None
    decision_loss: Tensor
    lm_loss: Tensor


class Echo(nn.Module):
    """A model whose logits are its inputs, with losses of its own."""

    def forward(self, values: Tensor | None, labels: Tensor) -> Output:
        return Output(values, torch.tensor(3.0), torch.tensor(5.0))


def test_the_step_replaces_the_first_loss_and_leaves_the_others() -> None:
    logits, labels = draw(2)
    loss = CrossEntropy(class_weights=WEIGHTS)
    weigh = {"decision_loss": torch.tensor(1.0), "lm_loss": torch.tensor(7.0)}
    step = LogitsStep(loss, SupervisedStep(weigh=lambda batch: weigh, factors={"decision_loss": 2.0, "lm_loss": 0.5}))
    batch = {"values": logits, "labels": labels, "index": torch.arange(6)}
    losses = step(Echo(), batch).losses
    assert list(losses) == list(step.weigh(batch)) == ["decision_loss", "lm_loss"]
    torch.testing.assert_close(losses["decision_loss"], 2.0 * loss(logits, labels))
    assert losses["lm_loss"].item() == 2.5
    assert step.weigh(batch) == {"decision_loss": loss.weigh(labels), "lm_loss": torch.tensor(7.0)}


def test_what_the_step_needs_is_asked_for() -> None:
    step, labels = LogitsStep(CrossEntropy()), torch.zeros(2, dtype=torch.int64)
    with pytest.raises(TrainingError, match='cannot train on a batch without "labels"'):
        step.weigh({"values": labels})
    with pytest.raises(TrainingError, match="the model returned no 'logits'"):
        step(Echo(), {"values": None, "labels": labels})  # type: ignore[dict-item]


def test_the_step_gives_the_gradients_of_the_models_own_loss() -> None:
    model, batch = TinyModel(), examples(torch.arange(8))
    found = []
    for step in (SupervisedStep(), LogitsStep(CrossEntropy())):
        model.zero_grad()
        step(model, batch).losses["loss"].backward()
        found.append([parameter.grad for parameter in model.parameters()])
    assert all(torch.allclose(*pair) for pair in zip(*found, strict=True))


ASKED = {"label_smoothing": 0.1, "focal_gamma": 2.0, "class_weights": (1.0, 3.0)}


def test_the_config_chooses_the_loss() -> None:
    assert supervised_step(tiny_config()) == SupervisedStep()
    asked = tiny_config(**ASKED)
    assert supervised_step(asked, kind="single") == LogitsStep(CrossEntropy(**ASKED))  # type: ignore[arg-type]
    assert supervised_step(asked, kind="multi") == LogitsStep(MultiLabelCrossEntropy(**ASKED))  # type: ignore[arg-type]
    smoothed = LogitsStep(CrossEntropy(label_smoothing=0.1))
    assert supervised_step(tiny_config(label_smoothing=0.1), kind="choice") == smoothed
    balanced = tiny_config(class_weights="balanced")
    step = supervised_step(balanced, counts=[1, 3], kind="single")
    assert step == LogitsStep(CrossEntropy(class_weights=(2.0, 2 / 3)))


def test_weights_and_factors_of_the_losses_are_passed_on() -> None:
    own = SupervisedStep(weigh=lambda batch: {"decision_loss": 2, "lm_loss": 9}, factors={"lm_loss": 0.5})
    for options in ({}, {"focal_gamma": 1.0}):
        step = supervised_step(tiny_config(**options), weigh=own.weigh, factors=own.factors, kind="single")
        assert step == (LogitsStep(CrossEntropy(focal_gamma=1.0), own) if options else own)


@pytest.mark.parametrize("name", ASKED)
def test_options_that_mean_nothing_for_a_head_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name}: only for heads that decide between classes"):
        supervised_step(tiny_config(**{name: ASKED[name]}))


def test_class_weights_need_classes_and_their_counts() -> None:
    with pytest.raises(ConfigError, match="class_weights: the choices of an example are no classes"):
        supervised_step(tiny_config(class_weights=(1.0, 3.0)), kind="choice")
    with pytest.raises(ConfigError, match='class_weights: "balanced" needs counts'):
        supervised_step(tiny_config(class_weights="balanced"), kind="single")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_smoothing_leaves_out_choices_that_are_not_there(gamma: float, dtype: torch.dtype) -> None:
    loss = CrossEntropy(label_smoothing=0.2, focal_gamma=gamma)
    logits = torch.tensor([[1.0, -0.5, 0.25]], dtype=dtype)
    wider = torch.cat((logits, torch.full((1, 2), torch.finfo(dtype).min, dtype=dtype)), 1).requires_grad_()
    value = loss(wider, torch.tensor([2]))
    value.backward()
    torch.testing.assert_close(value, loss(logits, torch.tensor([2])))
    assert wider.grad is not None
    assert wider.grad.isfinite().all()
    assert not wider.grad[:, 3:].any()


def with_words() -> dict[str, Tensor]:
    return {"labels": some(3, ROWS), "lm_labels": some(9, ROWS, LENGTH)}


def rows_and_words(batch: Batch) -> Weights:
    following = (batch["lm_labels"] * batch["attention_mask"] - 100 * (1 - batch["attention_mask"]))[:, 1:]
    return {"decision_loss": len(batch["labels"]), "text_lm_loss": (following != -100).any(1).sum()}


DECIDING: dict[str, tuple[Kind, Case]] = {
    "classes": ("single", CASES["classes"]),
    "several classes": ("multi", CASES["several classes"]),
    "choices": ("choice", CASES["choices"]),
    "tags": ("single", CASES["tags"]),
    "classes and next words": (
        "single",
        Case(
            "classification_with_lm",
            with_words,
            weigh=rows_and_words,
            factors={"text_lm_loss": 0.5},
            family="openai-gpt",
            options=classes(3),
        ),
    ),
}


def batch_of(case: Case) -> dict[str, Tensor]:
    """With labels and words of -100 at padding."""
    batch = case.batch()
    for name in ("labels", "lm_labels"):
        if name in batch and batch[name].shape == batch["attention_mask"].shape:
            batch[name] = batch[name].masked_fill(batch["attention_mask"] == 0, -100)
    return batch


@pytest.mark.parametrize(("kind", "case"), DECIDING.values(), ids=DECIDING)
def test_heads_that_decide_have_the_loss_of_their_kind(kind: Kind, case: Case) -> None:
    batch, model, own = batch_of(case), case.model().eval(), case.step()
    plain = LogitsStep(MultiLabelCrossEntropy() if kind == "multi" else CrossEntropy(), own)
    expected, found = own(model, batch), plain(model, batch)
    assert list(expected.losses) == list(found.losses)
    for name, loss in expected.losses.items():
        torch.testing.assert_close(found.losses[name], loss)
    assert {name: float(weight) for name, weight in plain.weigh(batch).items()} == {
        name: float(weight) for name, weight in own.weigh(batch).items()
    }


@pytest.mark.parametrize(("kind", "case"), DECIDING.values(), ids=DECIDING)
def test_every_option_takes_effect_and_several_batches_are_one_large_batch(kind: Kind, case: Case) -> None:
    whole = batch_of(case)
    weighing = {} if kind == "choice" else {"class_weights": tuple(1.0 + place for place in range(count_classes(case)))}
    asked = {"label_smoothing": 0.2, "focal_gamma": 1.5, **weighing}
    results = []
    for options, sizes in (
        (asked, [ROWS]),
        (asked, [3, 1, ROWS - 4]),
        *(({name: asked[name]}, [ROWS]) for name in asked),
    ):
        config = tiny_config(**options, max_grad_norm=None)
        step = supervised_step(config, weigh=case.weigh, factors=case.factors or {}, kind=kind)
        updater = Updater(case.model(), config, step)
        updater.optimizer, updater.peaks = torch.optim.SGD(updater.parameters, lr=1.0), [1.0]
        parts = zip(*(tensor.split(sizes) for tensor in whole.values()), strict=True)
        logged = updater([dict(zip(whole, tensors, strict=True)) for tensors in parts], number=1, factor=1.0)
        results.append((weights_of(updater.model), logged["loss"]))
    assert distance(results[0][0], results[1][0]) < 1e-5
    assert results[0][1] == pytest.approx(results[1][1], abs=1e-5)
    assert len({round(loss, 4) for _, loss in results}) == len(results) - 1


def count_classes(case: Case) -> int:
    return int(case.model().config.num_labels)  # type: ignore[union-attr, arg-type]
