"""Every token gets a decision; those without label and padding do not count."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from plm.blocks.layout import Packed
from plm.models.config import default_labels
from tests.tiny_models import gradients, mask_of, packing, random_ids, tiny_model
from tests.tolerances import assert_close

IDS, MASK = random_ids(3, 6), mask_of(6, (0, 6), (0, 2), (3, 6))
LABELS = torch.randint(0, 5, (3, 6), generator=torch.Generator().manual_seed(0))

packed_and_padded = pytest.mark.parametrize("inside", [True, False], ids=["packed", "padded"])


@packed_and_padded
@pytest.mark.parametrize("family", ["bert", "openai-gpt"])
def test_the_loss_is_the_mean_over_live_labelled_tokens(family: str, inside: bool) -> None:
    model, labels = tiny_model(family, "token_classification", id2label=default_labels(5)).eval(), LABELS.clone()
    labels[0, :2] = -100
    with packing(inside=inside):
        output = model(IDS, MASK, labels=labels)
    counted = (MASK == 1) & (labels != -100)
    assert output["logits"].shape == (3, 6, 5)
    assert_close(output["loss"], F.cross_entropy(output["logits"][counted], labels[counted]))


def test_without_labelled_tokens_the_loss_is_zero_with_gradients_of_zero() -> None:
    model = tiny_model("bert", "token_classification")
    loss = model(IDS, MASK, labels=torch.full_like(IDS, -100))["loss"]
    assert loss.item() == 0
    assert not any(gradient.any() for gradient in gradients(model, loss).values())


def test_texts_packed_by_the_caller_have_packed_labels() -> None:
    model, live = tiny_model("bert", "token_classification", id2label=default_labels(5)).eval(), MASK == 1
    packed = model(IDS[live], layout=Packed.from_lengths([6, 2, 3]), labels=LABELS[live])
    assert_close(packed["loss"], model(IDS, MASK, labels=LABELS)["loss"])
    assert packed["logits"].shape == (11, 5)


@pytest.mark.parametrize(("rate", "expected"), [(None, 0.4), (0.2, 0.2), (0.0, 0.0)])
def test_dropout_before_the_classifier_is_a_field_of_its_own(rate: float | None, expected: float) -> None:
    model = tiny_model("bert", "token_classification", hidden_dropout_prob=0.4, classifier_dropout=rate)
    assert model.heads["token_classification"].dropout.p == expected
