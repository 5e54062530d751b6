"""Adversarial passes: the gradient at two places, and the weights as they were."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from plm.errors import ConfigError, TrainingError
from plm.training.adversarial import Adversary, fgm, pgd
from plm.training.step import Batch, SupervisedStep
from plm.training.update import Updater
from tests.tiny_models import FAMILY_NAMES, VOCABULARY, tiny_model
from tests.training.tiny import Altered, TinyModel, config, distance, examples, weights

TARGET = "embedding.weight"


def gradient_of(model: TinyModel, index: Tensor, parts: int = 1) -> None:
    """The mean loss of the examples, in several backward passes."""
    for part in index.chunk(parts):
        batch = examples(part)
        del batch["index"]
        (model(**batch).loss * (len(part) / len(index))).backward()


def gradients(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def parabola(start: list[float], bowl: list[float]) -> tuple[nn.Module, nn.Parameter]:
    """A model with one parameter x, for the loss sum(bowl * x^2) / 2, whose gradient is bowl * x."""
    model = nn.Module()
    model.x = nn.Parameter(torch.tensor(start))
    return model, model.x


def passes(adversary: Adversary, x: nn.Parameter, bowl: list[float]) -> list[Tensor]:
    """Where the gradient was asked for."""
    asked: list[Tensor] = []

    def gradient() -> None:
        asked.append(x.detach().clone())
        (torch.tensor(bowl) * x.square()).sum().div(2).backward()

    adversary.passes(gradient)
    return asked


def test_one_step_by_hand() -> None:
    model, x = parabola([3.0, 4.0], [1.0, 1.0])
    asked = passes(fgm(model, epsilon=0.5, target="x"), x, [1.0, 1.0])
    assert torch.equal(asked[0], torch.tensor([3.0, 4.0]))
    assert asked[1].tolist() == pytest.approx([3.3, 4.4])
    assert x.grad is not None
    assert x.grad.tolist() == pytest.approx([6.3, 8.4])
    assert x.tolist() == [3.0, 4.0]


def test_several_steps_by_hand() -> None:
    bowl, start, epsilon = [4.0, 1.0], [1.0, 1.0], 0.5
    model, x = parabola(start, bowl)
    asked = passes(pgd(model, epsilon=epsilon, steps=2, target="x"), x, bowl)
    place = torch.tensor(start)
    for found in asked[1:]:
        slope = torch.tensor(bowl) * place
        change = place + slope / slope.norm() * (2.5 * epsilon / 2) - torch.tensor(start)
        place = torch.tensor(start) + change * min(1.0, epsilon / float(change.norm()))
        assert found.tolist() == pytest.approx(place.tolist())
    assert x.grad is not None  # that of the start and of the last place, not of those between
    assert x.grad.tolist() == pytest.approx((torch.tensor(bowl) * (torch.tensor(start) + place)).tolist())


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.floats(-5, 5, width=32), min_size=1, max_size=4),
    st.floats(0.01, 10),
    st.integers(1, 5),
)
def test_no_place_is_farther_than_epsilon_and_the_weights_come_back(
    start: list[float], epsilon: float, steps: int
) -> None:
    bowl = [1.0 + place for place in range(len(start))]
    model, x = parabola(start, bowl)
    before = x.detach().clone()
    asked = passes(pgd(model, epsilon=epsilon, steps=steps, target="x"), x, bowl)
    assert len(asked) == 1 + steps
    assert all(float((place - before).norm()) <= epsilon * 1.001 + 1e-6 for place in asked)
    assert torch.equal(x.detach(), before)


def test_one_step_of_pgd_is_fgm() -> None:
    results = []
    for build in (lambda model: fgm(model, target=TARGET), lambda model: pgd(model, steps=1, target=TARGET)):
        model = TinyModel()
        build(model).passes(lambda model=model: gradient_of(model, torch.arange(8)))  # type: ignore[misc]
        results.append(gradients(model))
    assert distance(*results) < 1e-6


@pytest.mark.parametrize("parts", [2, 4, 8])
def test_several_batches_do_what_one_large_batch_does(parts: int) -> None:
    results = []
    for count in (1, parts):
        model = TinyModel()
        adversary = pgd(model, epsilon=2.0, target=TARGET)
        adversary.passes(lambda model=model, count=count: gradient_of(model, torch.arange(16), count))  # type: ignore[misc]
        results.append(gradients(model))
    assert distance(*results) < 1e-6


def test_only_the_targets_move_and_by_epsilon() -> None:
    model, moved = TinyModel(), []
    before = weights(model)

    def gradient() -> None:
        moved.append({name: float((p.detach() - before[name]).norm()) for name, p in model.named_parameters()})
        gradient_of(model, torch.arange(8))

    fgm(model, epsilon=0.3, target=TARGET).passes(gradient)
    assert set(moved[0].values()) == {0.0}
    assert moved[1].pop(TARGET) == pytest.approx(0.3, rel=1e-5)
    assert set(moved[1].values()) == {0.0}


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("call", [1, 2, 3])
def test_an_exception_leaves_the_weights_bit_for_bit(error: type[BaseException], call: int) -> None:
    model, calls = TinyModel(), []
    before = weights(model)

    def gradient() -> None:
        calls.append(1)
        if len(calls) == call:
            raise error
        gradient_of(model, torch.arange(8))

    with pytest.raises(error):
        pgd(model, epsilon=1e3, target="*").passes(gradient)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_leftover_gradients_do_not_count() -> None:
    clean, dirty = TinyModel(), TinyModel()
    gradient_of(dirty, torch.arange(3))
    for model in (clean, dirty):
        fgm(model, target=TARGET).passes(lambda model=model: gradient_of(model, torch.arange(8)))  # type: ignore[misc]
    assert distance(gradients(clean), gradients(dirty)) == 0.0


@pytest.mark.parametrize("slope", [0.0, math.inf, math.nan])
def test_a_gradient_without_direction_moves_nothing(slope: float) -> None:
    model, x = parabola([1.0, 2.0], [1.0, slope] if slope else [0.0, 0.0])
    asked = passes(fgm(model, target="x"), x, [1.0, slope] if slope else [0.0, 0.0])
    assert torch.equal(asked[1], torch.tensor([1.0, 2.0]))


def test_unused_and_frozen_parameters_are_passed_over() -> None:
    model = TinyModel()
    model.unused = nn.Parameter(torch.ones(2))  # type: ignore[assignment]
    model.norm.requires_grad_(False)
    fgm(model, target="*").passes(lambda: gradient_of(model, torch.arange(8)))
    assert set(gradients(model)) == {"embedding.weight", "classifier.weight", "classifier.bias"}
    assert model.unused.tolist() == [1.0, 1.0]


def test_what_cannot_be_meant_is_refused() -> None:
    with pytest.raises(TrainingError, match=r"no trained parameter is called 'embeding.weight'; did you mean"):
        fgm(TinyModel(), target="embeding.weight")
    with pytest.raises(ConfigError, match=r"positive epsilon and at least 1 step, got -1\.0, 1"):
        fgm(TinyModel(), epsilon=-1.0, target=TARGET)


def descent(model: nn.Module, **values: object) -> Updater:
    """An updater with plain gradient descent, which, unlike Adam, shows the size of the gradient."""
    options = {"adversarial_target": TARGET, "adversarial_epsilon": 2.0, "max_grad_norm": None} | values
    updater = Updater(model, config(**options), SupervisedStep())
    updater.optimizer, updater.peaks = torch.optim.SGD(updater.parameters, lr=1.0), [1.0]
    return updater


@pytest.mark.parametrize("adversarial", ["fgm", "pgd"])
@pytest.mark.parametrize("sizes", [[16], [4, 4, 4, 4], [1, 6, 9]])
def test_an_update_of_several_batches_is_that_of_one_large_batch(adversarial: str, sizes: list[int]) -> None:
    model, by_hand = TinyModel(), TinyModel()
    parts = [examples(part) for part in torch.arange(16).split(sizes)]
    logged = descent(model, adversarial=adversarial)(parts, number=1, factor=1.0)
    build = fgm if adversarial == "fgm" else pgd
    build(by_hand, epsilon=2.0, target=TARGET).passes(lambda: gradient_of(by_hand, torch.arange(16)))
    expected = {name: p.detach() - gradients(by_hand)[name] for name, p in by_hand.named_parameters()}
    assert distance(expected, weights(model)) < 1e-6
    clean = TinyModel()
    assert logged["loss"] == pytest.approx(descent(clean)([examples(torch.arange(16))], number=1, factor=1.0)["loss"])


def test_an_update_depends_on_weights_and_number_alone() -> None:
    results = []
    for earlier in (0, 3):
        model = TinyModel(dropout=0.3)
        before = weights(model)
        updater = descent(model, adversarial="pgd")
        for number in range(earlier):
            updater([examples(torch.arange(8))], number=1 + number, factor=1.0)
        model.load_state_dict(before)
        updater([examples(torch.arange(8)), examples(torch.arange(8, 20))], number=7, factor=1.0)
        results.append(weights(model))
    assert distance(*results) == 0.0


def test_all_passes_of_an_update_have_the_same_dropout() -> None:
    losses: list[float] = []

    def note(loss: Tensor, batch: Batch) -> Tensor:
        losses.append(loss.item())
        return loss

    updater = descent(TinyModel(dropout=0.5), adversarial="fgm", adversarial_epsilon=1e-9)
    updater.step = Altered(note)
    updater([examples(torch.arange(8)), examples(torch.arange(8))], number=1, factor=1.0)
    assert losses[:2] == pytest.approx(losses[2:], abs=1e-6)
    assert losses[0] != losses[1]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_update_that_is_cut_off_leaves_the_weights(error: type[BaseException]) -> None:
    model, calls = TinyModel(), []
    before = weights(model)

    def stop(loss: Tensor, batch: Batch) -> Tensor:
        calls.append(not torch.equal(before[TARGET], model.state_dict()[TARGET]))
        if len(calls) == 3:
            raise error
        return loss

    updater = descent(model, adversarial="pgd")
    updater.step = Altered(stop)
    with pytest.raises(error):
        updater([examples(torch.arange(4)), examples(torch.arange(4, 8))], number=1, factor=1.0)
    assert calls == [False, False, True]
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_scaled_losses_give_the_same_update_and_an_overflow_none() -> None:
    results = []
    for scale in (1.0, 1024.0):
        model = TinyModel()
        updater = descent(model, adversarial="pgd")
        updater.scaler = torch.amp.GradScaler("cpu", init_scale=scale)
        updater([examples(torch.arange(8))], number=1, factor=1.0)
        results.append(weights(model))
    assert distance(*results) < 1e-6
    model = TinyModel()
    before = weights(model)
    updater = descent(model, adversarial="pgd")
    updater.step = Altered(lambda loss, batch: loss * 1e30)
    updater.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**60)
    assert not math.isfinite(updater([examples(torch.arange(8))], number=1, factor=1.0)["grad_norm"])
    assert distance(before, weights(model)) == 0.0


def test_every_family_has_word_embeddings_to_change() -> None:
    for family in FAMILY_NAMES:
        model = tiny_model(family, "token_classification")
        adversary = fgm(model)
        assert [target.shape[0] for target in adversary.targets] == [VOCABULARY]
