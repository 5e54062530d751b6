"""Several batches in one update do what one batch as large as all of them does, for every head and any lengths."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from plm.training.step import Batch, StepResult, SupervisedStep, Weights, count_labels, weigh_labels
from plm.training.update import Updater
from tests.tiny_models import VOCABULARY, tiny_model
from tests.training.tiny import config, distance, weights

ROWS, LENGTH = 8, 7


@dataclass(frozen=True)
class Case:
    """A head, its targets for ROWS texts of LENGTH tokens, and what its losses are means over."""

    head: str
    targets: Callable[[], dict[str, Tensor]]
    weigh: Callable[[Batch], Weights] = weigh_labels
    factors: Mapping[str, float] | None = None
    choices: int | None = None
    family: str = "bert"
    options: Mapping[str, object] | None = None

    def step(self) -> SupervisedStep:
        return SupervisedStep(weigh=self.weigh, factors=self.factors or {})

    def model(self) -> nn.Module:
        return tiny_model(self.family, self.head, **self.options or {})

    def batch(self) -> dict[str, Tensor]:
        """Texts of one to LENGTH tokens."""
        torch.manual_seed(3)
        shape = (ROWS, LENGTH) if self.choices is None else (ROWS, self.choices, LENGTH)
        live = torch.arange(LENGTH) < torch.randint(1, LENGTH + 1, shape[:-1])[..., None]
        ids = torch.randint(1, VOCABULARY, shape) * live
        return {"input_ids": ids, "attention_mask": live.long(), "index": torch.arange(ROWS), **self.targets()}


def some(high: int, *shape: int, ignored: float = 0.0) -> Tensor:
    """Labels from 0 to high - 1, a share of them ignored."""
    return torch.randint(0, high, shape).masked_fill(torch.rand(shape) < ignored, -100)


def classes(count: int) -> dict[str, object]:
    return {"id2label": {number: str(number) for number in range(count)}}


def next_words(batch: Batch) -> Tensor:
    """A label in the first column has no word before it, and one at padding is not counted."""
    labels = batch["labels"].masked_fill(batch["attention_mask"] == 0, -100)
    return (labels[..., 1:] != -100).sum()


def live_labels(batch: Batch) -> Weights:
    return {"loss": ((batch["labels"] != -100) & (batch["attention_mask"] == 1)).sum()}


CASES = {
    "classes": Case("sequence_classification", lambda: {"labels": some(3, ROWS)}, options=classes(3)),
    "several classes": Case(
        "sequence_classification",
        lambda: {"labels": some(2, ROWS, 3).float()},
        options=classes(3) | {"problem_type": "multi_label_classification"},
    ),
    "scores": Case("sequence_classification", lambda: {"labels": torch.randn(ROWS)}, options=classes(1)),
    "choices": Case("multiple_choice", lambda: {"labels": some(3, ROWS)}, choices=3),
    "tags": Case(
        "token_classification",
        lambda: {"labels": some(4, ROWS, LENGTH, ignored=0.5)},
        weigh=live_labels,
        options=classes(4),
    ),
    "spans": Case(
        "question_answering",
        lambda: {"start_positions": torch.zeros(ROWS, dtype=torch.int64), "end_positions": some(2, ROWS)},
        weigh=lambda batch: {"loss": len(batch["start_positions"])},
    ),
    "masked words": Case(
        "masked_lm", lambda: {"labels": some(VOCABULARY, ROWS, LENGTH, ignored=0.8)}, weigh=live_labels
    ),
    "next words": Case(
        "causal_lm",
        lambda: {"labels": some(VOCABULARY, ROWS, LENGTH)},
        weigh=lambda batch: {"loss": next_words(batch)},
        family="openai-gpt",
    ),
    "next sentence": Case("next_sentence", lambda: {"labels": some(2, ROWS)}),
    "masked words and next sentence": Case(
        "pretraining",
        lambda: {"labels": some(VOCABULARY, ROWS, LENGTH, ignored=0.8), "next_sentence_label": some(2, ROWS)},
        weigh=lambda batch: {
            "masked_lm_loss": live_labels(batch)["loss"],
            "next_sentence_loss": len(batch["next_sentence_label"]),
        },
    ),
    "choice and next words": Case(
        "double_heads",
        lambda: {"labels": some(VOCABULARY, ROWS, 2, LENGTH), "mc_labels": some(2, ROWS)},
        weigh=lambda batch: {"mc_loss": len(batch["mc_labels"]), "lm_loss": next_words(batch)},
        factors={"lm_loss": 0.5},
        choices=2,
        family="openai-gpt",
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@settings(deadline=None, max_examples=5)
@given(sizes=st.lists(st.integers(1, 2), min_size=2, max_size=4))
def test_several_batches_equal_one(case: Case, sizes: list[int]) -> None:
    whole = {name: tensor[: sum(sizes)] for name, tensor in case.batch().items()}
    cut = zip(*(tensor.split(sizes) for tensor in whole.values()), strict=True)
    parts = [dict(zip(whole, tensors, strict=True)) for tensors in cut]
    results = []
    for batches in ([whole], parts):
        model = case.model()
        updater = descent(model, case.step())
        logged = updater(batches, number=1, factor=1.0)
        results.append((weights(model), logged))
    assert distance(results[0][0], results[1][0]) < 1e-6
    assert results[1][1] == pytest.approx(results[0][1], abs=1e-5)


def descent(model: nn.Module, step: SupervisedStep | TwoTasks) -> Updater:
    """An updater with plain gradient descent, which, unlike Adam, shows the size of the gradient."""
    updater = Updater(model, config(), step)
    updater.optimizer, updater.peaks = torch.optim.SGD(updater.parameters, lr=0.1), [0.1]
    return updater


@dataclass(frozen=True)
class TwoTasks:
    """Heads by the number of the task in a batch."""

    heads = ("sequence_classification", "token_classification")

    def weigh(self, batch: Batch) -> Weights:
        return {self.heads[int(batch["task"])]: count_labels(batch)}

    def __call__(self, model: nn.Module, batch: Batch) -> StepResult:
        head = self.heads[int(batch["task"])]
        inputs = {name: batch[name] for name in ("input_ids", "labels")}
        return StepResult({head: model(**inputs, head=head).loss})


def mixture() -> list[dict[str, Tensor]]:
    """Batches of two tasks in turn, none of the size of another."""
    torch.manual_seed(5)
    batches = []
    for number, rows in enumerate((3, 1, 2, 4)):
        labels = some(2, rows) if number % 2 == 0 else some(2, rows, LENGTH, ignored=0.4)
        ids = torch.randint(1, VOCABULARY, (rows, LENGTH))
        batches.append({"input_ids": ids, "labels": labels, "task": torch.tensor(number % 2)})
    return batches


def test_each_task_of_a_mixture_is_a_mean_over_its_own_labels() -> None:
    model = tiny_model("bert", *TwoTasks.heads)
    batches = mixture()
    losses = []
    for task in (0, 1):
        mine = [batch for batch in batches if batch["task"] == task]
        whole = {name: torch.cat([batch[name] for batch in mine]) for name in ("input_ids", "labels")}
        losses.append(model(**whole, head=TwoTasks.heads[task]).loss)
    expected = torch.autograd.grad(sum(losses), model.backbone.embeddings.word.weight)[0]
    before = model.backbone.embeddings.word.weight.detach().clone()
    updater = descent(model, TwoTasks())
    updater.config = config(max_grad_norm=None)
    logged = updater(batches, number=1, factor=1.0)
    moved = (before - model.backbone.embeddings.word.weight.detach()) / 0.1
    assert float((moved - expected).abs().max()) < 1e-5
    numbers = [loss.item() for loss in losses]
    assert logged["loss"] == pytest.approx(sum(numbers), abs=1e-6)
    assert [logged[head] for head in TwoTasks.heads] == pytest.approx(numbers, abs=1e-6)
