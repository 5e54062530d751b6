"""Masked words are predicted where they are masked, in the caller's order, and nowhere else."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from plm.blocks.layout import Packed
from tests.tiny_models import gradients, mask_of, packing, random_ids, tiny_model
from tests.tolerances import assert_close

IDS, MASK = random_ids(3, 6), mask_of(6, (0, 6), (0, 2), (3, 6))
LABELS = torch.full((3, 6), -100)
LABELS[0, 4], LABELS[0, 1], LABELS[1, 1], LABELS[2, 5], LABELS[2, 3] = 3, 9, 4, 7, 1

packed_and_padded = pytest.mark.parametrize("inside", [True, False], ids=["packed", "padded"])


@packed_and_padded
def test_logits_are_those_of_the_masked_tokens_in_the_callers_order(inside: bool) -> None:
    model = tiny_model("nezha", "masked_lm").eval()
    with packing(inside=inside):
        everywhere, masked = model(IDS, MASK)["logits"], model(IDS, MASK, labels=LABELS)["logits"]
    assert everywhere.shape == (3, 6, 31)
    assert_close(masked, everywhere[LABELS != -100])


@packed_and_padded
def test_the_loss_is_the_mean_over_masked_tokens(inside: bool) -> None:
    model = tiny_model("bert", "masked_lm").eval()
    with packing(inside=inside):
        logits, loss = model(IDS, MASK)["logits"], model(IDS, MASK, labels=LABELS)["loss"]
    assert_close(loss, F.cross_entropy(logits.flatten(0, 1), LABELS.flatten()))


@packed_and_padded
def test_a_label_at_padding_is_no_masked_token(inside: bool) -> None:
    model, labels = tiny_model("bert", "masked_lm").eval(), LABELS.clone()
    labels[1, 4] = labels[2, 0] = 5
    with packing(inside=inside):
        output = model(IDS, MASK, labels=labels)
        assert len(output["logits"]) == int((LABELS != -100).sum())
        assert torch.equal(output["loss"], model(IDS, MASK, labels=LABELS)["loss"])


@packed_and_padded
def test_without_masked_tokens_the_loss_is_zero_with_gradients_of_zero(inside: bool) -> None:
    model = tiny_model("bert", "masked_lm")
    with packing(inside=inside):
        output = model(IDS, MASK, labels=torch.full_like(IDS, -100))
    assert output["logits"].shape == (0, 31)
    assert output["loss"].item() == 0
    found = gradients(model, output["loss"])
    assert found.keys() == {name for name, _ in model.named_parameters()}
    assert not any(gradient.any() for gradient in found.values())


def test_texts_packed_by_the_caller_have_packed_labels() -> None:
    model, live = tiny_model("bert", "masked_lm").eval(), MASK == 1
    layout = Packed.from_lengths([6, 2, 3])
    packed = model(IDS[live], layout=layout, labels=LABELS[live])
    padded = model(IDS, MASK, labels=LABELS)
    assert_close(packed["logits"], padded["logits"])
    assert_close(packed["loss"], padded["loss"])
