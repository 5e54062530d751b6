"""Distances of states are means over real tokens, and say so before any forward pass."""

from __future__ import annotations

import pytest
import torch

from plm.distillation.losses import TrueMeans, states_distance
from plm.distillation.view import View
from tests.distillation.pairs import batch_of
from tests.tolerances import assert_close


@pytest.mark.parametrize("packed", [True, False], ids=["packed", "padded"])
def test_padding_never_counts_whatever_stands_there(packed: bool) -> None:
    batch = batch_of()
    view = View.packed(batch, pattern="full") if packed else View.padded(batch, pattern="full")
    assert view is not None
    live = batch["attention_mask"] == 1
    own, theirs = torch.randn(5, 9, 8), torch.randn(5, 9, 8)
    expected = (own - theirs)[live].square().mean()
    own[~live] = torch.inf
    assert_close(states_distance(view.layout.rows(own), view.layout.rows(theirs), view.layout), expected)


def test_batches_without_padding_are_plain_means() -> None:
    view = View.padded({"input_ids": batch_of()["input_ids"]}, pattern="full")
    own, theirs = torch.randn(5, 9, 8), torch.randn(5, 9, 8)
    assert_close(states_distance(own, theirs, view.layout), (own - theirs).square().mean())


def test_pairs_and_tokens_are_counted() -> None:
    batch = batch_of((0, 9), (2, 6))
    assert TrueMeans().count(batch, "full") == (81 + 16, 13)
    assert TrueMeans().count(batch, "causal") == (45 + 10, 13)
