"""Answers start and end at live tokens; positions outside the text are not counted."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from plm.blocks.layout import Packed
from plm.errors import ShapeError
from tests.tiny_models import gradients, mask_of, packing, random_ids, tiny_model
from tests.tolerances import assert_close

IDS, MASK = random_ids(3, 6), mask_of(6, (0, 6), (0, 2), (3, 6))
START, END = torch.tensor([2, 0, 4]), torch.tensor([5, 1, 4])

packed_and_padded = pytest.mark.parametrize("inside", [True, False], ids=["packed", "padded"])


@packed_and_padded
def test_the_loss_is_the_mean_over_start_and_end(inside: bool) -> None:
    model = tiny_model("bert", "question_answering").eval()
    with packing(inside=inside):
        output = model(IDS, MASK, start_positions=START, end_positions=END)
    expected = (F.cross_entropy(output["start_logits"], START) + F.cross_entropy(output["end_logits"], END)) / 2
    assert_close(output["loss"], expected)


@packed_and_padded
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_no_answer_lies_at_padding(inside: bool, dtype: torch.dtype) -> None:
    model = tiny_model("nezha", "question_answering").to(dtype).eval()
    with packing(inside=inside):
        output = model(IDS, MASK, start_positions=START, end_positions=END)
    for name in ("start_logits", "end_logits"):
        dead = output[name][MASK == 0]
        assert torch.equal(dead, torch.full_like(dead, torch.finfo(dtype).min))
        assert not output[name].float().softmax(-1)[MASK == 0].any()
    assert output["loss"].isfinite()


@pytest.mark.parametrize("outside", [6, 99, -1])
def test_positions_outside_the_text_are_not_counted(outside: int) -> None:
    model = tiny_model("bert", "question_answering").eval()
    start, end = START.clone(), END.clone()
    start[1] = end[0] = outside
    output = model(IDS, start_positions=start, end_positions=end)
    first = F.cross_entropy(output["start_logits"][[0, 2]], START[[0, 2]])
    second = F.cross_entropy(output["end_logits"][[1, 2]], END[[1, 2]])
    assert_close(output["loss"], (first + second) / 2)


def test_when_every_position_is_outside_the_loss_is_zero_with_gradients_of_zero() -> None:
    model, outside = tiny_model("bert", "question_answering"), torch.full((3,), 99)
    loss = model(IDS, MASK, start_positions=outside, end_positions=outside)["loss"]
    assert loss.item() == 0
    assert not any(gradient.any() for gradient in gradients(model, loss).values())


@pytest.mark.parametrize("name", ["start_positions", "end_positions"])
def test_one_position_without_the_other_is_refused(name: str) -> None:
    arguments: dict[str, Any] = {name: START}
    with pytest.raises(ShapeError, match="the loss needs start_positions and end_positions"):
        tiny_model("bert", "question_answering")(IDS, MASK, **arguments)


def test_packed_texts_have_logits_but_no_common_positions() -> None:
    model, layout = tiny_model("bert", "question_answering").eval(), Packed.from_lengths([6, 2, 3])
    logits = model(IDS[MASK == 1], layout=layout)["start_logits"]
    assert_close(logits, model(IDS, MASK)["start_logits"][MASK == 1])
    with pytest.raises(ShapeError, match=r"padded input_ids \(batch, length\)"):
        model(IDS[MASK == 1], layout=layout, start_positions=START, end_positions=END)
