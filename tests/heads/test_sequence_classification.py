"""One decision a text: single label, several labels, numbers, or a choice among texts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from plm.errors import ShapeError
from plm.heads.sequence_classification import infer_problem
from plm.models.config import default_labels
from tests.tiny_models import mask_of, packing, random_ids, tiny_model
from tests.tolerances import assert_close

IDS, MASK = random_ids(3, 6), mask_of(6, (0, 6), (0, 2), (3, 6))
CLASSES = torch.tensor([2, 0, 1])
SEVERAL = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
NUMBERS = torch.tensor([0.5, -1.0, 2.0])

packed_and_padded = pytest.mark.parametrize("inside", [True, False], ids=["packed", "padded"])


def answer(labels: Tensor, *, classes: int = 3, family: str = "bert", **changes: Any) -> tuple[Tensor, Tensor]:
    """Logits and loss."""
    model = tiny_model(family, "sequence_classification", id2label=default_labels(classes), **changes).eval()
    output = model(IDS, MASK, labels=labels)
    return output["logits"], output["loss"]


# ---- what labels mean


@pytest.mark.parametrize("problem", [None, "single_label_classification"])
@pytest.mark.parametrize("column", [False, True])
def test_integers_are_classes(problem: str | None, column: bool) -> None:
    logits, loss = answer(CLASSES[:, None] if column else CLASSES, problem_type=problem)
    assert_close(loss, F.cross_entropy(logits, CLASSES))


def test_a_text_without_label_does_not_count() -> None:
    labels = torch.tensor([2, -100, 1])
    logits, loss = answer(labels)
    assert_close(loss, F.cross_entropy(logits, labels))
    assert answer(torch.full((3,), -100))[1].item() == 0


@pytest.mark.parametrize("problem", [None, "multi_label_classification"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bool, torch.int64])
def test_a_row_of_yes_and_no_is_several_labels(problem: str | None, dtype: torch.dtype) -> None:
    logits, loss = answer(SEVERAL.to(dtype), problem_type=problem)
    assert_close(loss, F.binary_cross_entropy_with_logits(logits, SEVERAL))


@pytest.mark.parametrize("problem", [None, "regression"])
@pytest.mark.parametrize("shape", [(3,), (3, 1)])
def test_with_one_class_labels_are_numbers(problem: str | None, shape: tuple[int, ...]) -> None:
    logits, loss = answer(NUMBERS.view(shape), classes=1, problem_type=problem)
    assert_close(loss, (logits[:, 0] - NUMBERS).square().mean())


def test_numbers_may_be_several_when_the_config_says_so() -> None:
    logits, loss = answer(SEVERAL, problem_type="regression")
    assert_close(loss, (logits - SEVERAL).square().mean())


@pytest.mark.parametrize("problem", ["regression", "multi_label_classification"])
def test_labels_of_another_shape_are_refused(problem: str) -> None:
    with pytest.raises(ShapeError, match=rf"{problem}: labels must be \(3, 3\) like logits, got \(3, 2\)"):
        answer(torch.zeros(3, 2), problem_type=problem)


@pytest.mark.parametrize(
    ("classes", "labels", "expected"),
    [
        (3, torch.zeros(2, dtype=torch.int64), "single_label_classification"),
        (3, torch.zeros(2, 1, dtype=torch.int64), "single_label_classification"),
        (3, torch.zeros(2, 3, dtype=torch.int64), "multi_label_classification"),
        (3, torch.zeros(2, 3), "multi_label_classification"),
        (1, torch.zeros(2, dtype=torch.int64), "regression"),
        (1, torch.zeros(2, 1), "regression"),
    ],
)
def test_the_problem_is_told_from_classes_and_labels(classes: int, labels: Tensor, expected: str) -> None:
    assert infer_problem(torch.zeros(2, classes), labels) == expected


# ---- what the classifier sees


@packed_and_padded
@pytest.mark.parametrize("family", ["bert", "nezha", "tinybert"])
def test_classifiers_see_the_pooled_first_token(family: str, inside: bool) -> None:
    model = tiny_model(family, "sequence_classification").eval()
    linear = model.heads["sequence_classification"].classifier.linear
    with packing(inside=inside):
        pooled, logits = model.backbone(IDS, MASK).pooled, model(IDS, MASK)["logits"]
    assert_close(logits, linear(pooled.relu() if family == "tinybert" else pooled))


@packed_and_padded
@pytest.mark.parametrize("family", ["openai-gpt", "bert"])
def test_classifiers_may_see_the_last_live_token(family: str, inside: bool) -> None:
    model = tiny_model(family, "sequence_classification", classifier_pooling="last_token").eval()
    linear = model.heads["sequence_classification"].classifier.linear
    with packing(inside=inside):
        states, logits = model.backbone(IDS, MASK).last_hidden_state, model(IDS, MASK)["logits"]
    assert_close(logits, linear(states[torch.arange(3), torch.tensor([5, 1, 5])]))
    assert (linear.bias is None) is (family == "openai-gpt")


def test_without_a_mask_the_padding_token_tells_where_a_text_ends() -> None:
    ids = IDS.clone()
    ids[0, 4:] = ids[1, 1:] = 0
    model = tiny_model("openai-gpt", "sequence_classification", pad_token_id=0).eval()
    logits = model(ids)["logits"]
    for row, length in enumerate((4, 1, 6)):
        assert_close(logits[row], model(ids[row : row + 1, :length])["logits"][0])  # causal: padding behind is unseen


@pytest.mark.parametrize(("rate", "expected"), [(None, 0.4), (0.2, 0.2)])
def test_dropout_before_the_classifier_is_a_field_of_its_own(rate: float | None, expected: float) -> None:
    model = tiny_model("bert", "sequence_classification", hidden_dropout_prob=0.4, classifier_dropout=rate)
    assert model.heads["sequence_classification"].classifier.dropout.p == expected


def test_texts_may_have_more_leading_dimensions() -> None:
    model = tiny_model("bert", "sequence_classification").eval()
    ids, labels = random_ids(2, 3, 5), torch.tensor([[0, 1, 1], [1, 0, 1]])
    output = model(ids, labels=labels)
    assert output["logits"].shape == (2, 3, 2)
    assert_close(output["loss"], F.cross_entropy(output["logits"].flatten(0, 1), labels.flatten()))


# ---- a choice among texts


@packed_and_padded
@pytest.mark.parametrize("family", ["bert", "nezha", "openai-gpt", "tinybert"])
def test_each_choice_is_scored_alone_and_the_loss_compares_them(family: str, inside: bool) -> None:
    model, ids = tiny_model(family, "multiple_choice").eval(), random_ids(2, 3, 6)
    mask = mask_of(6, (0, 6), (0, 2), (3, 6), (0, 4), (0, 6), (1, 5)).view(2, 3, 6)
    with packing(inside=inside):
        output = model(ids, mask, labels=torch.tensor([2, 0]))
        shuffled = model(ids[:, [2, 0, 1]], mask[:, [2, 0, 1]])["logits"]
        alone = model.heads["multiple_choice"].classifier(model.backbone(ids.flatten(0, 1), mask.flatten(0, 1)))
    assert_close(output["logits"], alone.view(2, 3))
    assert_close(shuffled, output["logits"][:, [2, 0, 1]])
    assert_close(output["loss"], F.cross_entropy(output["logits"], torch.tensor([2, 0])))


def test_choices_need_a_dimension() -> None:
    with pytest.raises(ShapeError, match=r"multiple choice needs input_ids of shape \(batch, choices, length\)"):
        tiny_model("bert", "multiple_choice")(IDS)
