"""Every token predicts its successor in the same text."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from plm.blocks.layout import Packed
from tests.tiny_models import gradients, mask_of, packing, random_ids, tiny_model
from tests.tolerances import assert_close

IDS, MASK = random_ids(3, 6), mask_of(6, (0, 6), (0, 2), (3, 6))
SINGLE = mask_of(6, (0, 1), (2, 3), (5, 6))

packed_and_padded = pytest.mark.parametrize("inside", [True, False], ids=["packed", "padded"])


@packed_and_padded
@pytest.mark.parametrize("family", ["openai-gpt", "bert", "nezha"])
def test_the_loss_is_the_mean_over_live_successors(family: str, inside: bool) -> None:
    model = tiny_model(family, "causal_lm", attention_pattern="causal").eval()
    with packing(inside=inside):
        output = model(IDS, MASK, labels=IDS)
    pairs = [(row, n) for row in range(3) for n in range(5) if MASK[row, n] and MASK[row, n + 1]]
    expected = torch.stack([F.cross_entropy(output["logits"][row, n], IDS[row, n + 1]) for row, n in pairs]).mean()
    assert len(pairs) == 5 + 1 + 2
    assert_close(output["loss"], expected)


@packed_and_padded
def test_tokens_that_are_not_to_be_learned_do_not_count(inside: bool) -> None:
    model, labels = tiny_model("openai-gpt", "causal_lm").eval(), torch.full_like(IDS, -100)
    labels[0, 0] = labels[1, 1] = labels[2, 3] = 7  # first tokens have no predecessor
    with packing(inside=inside):
        output = model(IDS, MASK, labels=labels)
    assert_close(output["loss"], F.cross_entropy(output["logits"][1, 0], torch.tensor(7)))


@packed_and_padded
@pytest.mark.parametrize("mask", [MASK, SINGLE], ids=["unlabelled", "single tokens"])
def test_without_successors_the_loss_is_zero_with_gradients_of_zero(inside: bool, mask: torch.Tensor) -> None:
    model = tiny_model("openai-gpt", "causal_lm")
    with packing(inside=inside):
        loss = model(IDS, mask, labels=IDS if mask is SINGLE else torch.full_like(IDS, -100))["loss"]
    assert loss.item() == 0
    assert not any(gradient.any() for gradient in gradients(model, loss).values())


def test_texts_packed_by_the_caller_do_not_predict_each_other() -> None:
    model, live = tiny_model("openai-gpt", "causal_lm").eval(), MASK == 1
    layout = Packed.from_lengths([6, 2, 3], pattern="causal")
    packed = model(IDS[live], layout=layout, labels=IDS[live])
    padded = model(IDS, MASK, labels=IDS)
    assert_close(packed["logits"], padded["logits"][live])
    assert_close(packed["loss"], padded["loss"])


def test_masked_labels_do_not_change_the_callers_tensor() -> None:
    labels = IDS.clone()
    tiny_model("openai-gpt", "causal_lm")(IDS, MASK, labels=labels)
    assert torch.equal(labels, IDS)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_loss_is_computed_in_float32(dtype: torch.dtype) -> None:
    loss = tiny_model("openai-gpt", "causal_lm").to(dtype)(IDS, MASK, labels=IDS)["loss"]
    assert loss.dtype == torch.float32
    assert_close(loss, tiny_model("openai-gpt", "causal_lm")(IDS, MASK, labels=IDS)["loss"], dtype=dtype, factor=3)
