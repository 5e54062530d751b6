"""Student and teacher see a batch in the same way, and what lies inside them does not depend on which."""

from __future__ import annotations

import pytest
import torch

from plm.blocks.layout import Packed
from plm.distillation.view import Question, View, lengths_of, look
from plm.errors import ShapeError, TrainingError
from plm.training import OneHead
from tests.distillation.pairs import batch_of
from tests.tiny_models import FAMILY_NAMES, tiny_model
from tests.tolerances import assert_close

NAMES = ("embeddings", "blocks.0.query", "blocks.1.key", "blocks.1.output")


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_both_views_show_the_same_rows(family: str) -> None:
    model, batch = tiny_model(family), batch_of()
    packed = View.packed(batch, pattern=model.backbone.pattern)
    padded = View.padded(batch, pattern=model.backbone.pattern)
    assert packed is not None
    question = Question(names=NAMES)
    rows, rectangles = look(model, packed, question), look(model, padded, question)
    for name in NAMES:
        assert rows.values[name].shape[0] == int(batch["attention_mask"].sum())
        assert_close(rows.values[name], packed.layout.rows(rectangles.values[name]))


def test_what_cannot_be_packed_is_padded() -> None:
    batch = batch_of((0, 9), (0, 4))
    hole, empty = batch["attention_mask"].clone(), batch["attention_mask"].clone()
    hole[0, 3], empty[1] = 0, 0
    choices = {name: tensor[:, None] for name, tensor in batch.items()}
    for other in ({**batch, "attention_mask": hole}, {**batch, "attention_mask": empty}, choices):
        assert View.packed(other, pattern="full") is None
        assert torch.equal(View.padded(other, pattern="full").live, other["attention_mask"].flatten(0, -2) == 1)
    whole = {"input_ids": batch["input_ids"]}
    assert View.packed(whole, pattern="full") is None  # there is nothing to leave out
    assert View.padded(whole, pattern="full").live.all()


def test_packed_texts_come_without_their_padding() -> None:
    view = View.packed(batch_of((0, 9), (0, 4)), pattern="full")
    assert view is not None
    assert view.inputs["input_ids"].shape == view.inputs["token_type_ids"].shape == (13,)
    assert isinstance(view.inputs["layout"], Packed)


def test_lengths_are_those_of_real_tokens() -> None:
    batch = batch_of((0, 9), (2, 4))
    assert lengths_of(batch).tolist() == [9, 2]
    assert lengths_of({"input_ids": batch["input_ids"]}).tolist() == [9, 9]
    pairs = batch["attention_mask"][:, None].expand(-1, 9, -1)
    with pytest.raises(ShapeError, match=r"attention_mask \(2, 9, 9\): .* of the shape of input_ids \(2, 9\)"):
        lengths_of({"input_ids": batch["input_ids"], "attention_mask": pairs})


def test_what_cannot_be_looked_into_is_refused() -> None:
    view = View.padded(batch_of(), pattern="full")
    with pytest.raises(TrainingError, match="needs a plm model, with a backbone to look into, got OneHead"):
        look(OneHead(tiny_model("bert"), "some"), view, Question())
