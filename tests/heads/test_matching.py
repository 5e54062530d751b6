"""Scores of candidates are learned from which of two fits better, and by how much it is ahead."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from plm.errors import ShapeError
from plm.heads.matching import comparable
from tests.tiny_models import FAMILY_NAMES, gradients, mask_of, packing, random_ids, tiny_model
from tests.tolerances import assert_close

IDS = random_ids(2, 3, 6)
MASK = mask_of(6, (0, 6), (0, 2), (0, 4), (0, 3), (0, 6), (0, 1)).view(2, 3, 6)
LABELS = torch.tensor([[0, 2, 1], [1, 0, -100]])

packed_and_padded = pytest.mark.parametrize("inside", [True, False], ids=["packed", "padded"])


def loss_by_hand(logits: Tensor, labels: Tensor, margins: list[float]) -> Tensor:
    """PaddlePALM's: max(0, margin - sigmoid(better) + sigmoid(worse)), mean over all pairs."""
    scores, terms = logits.sigmoid(), []
    for row, margin in enumerate(margins):
        for first, second in itertools.permutations(range(labels.shape[1]), 2):
            if labels[row, first] > labels[row, second] > -100:
                terms.append((margin - scores[row, first] + scores[row, second]).clamp(min=0))
    return torch.stack(terms).mean()


@packed_and_padded
@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_the_loss_is_the_mean_margin_over_comparable_pairs(family: str, inside: bool) -> None:
    model = tiny_model(family, "matching")
    with packing(inside=inside):
        output = model(IDS, MASK, labels=LABELS)
        wide = model(IDS, MASK, labels=LABELS, margins=torch.tensor([0.9, 0.1]))
    assert output.logits.shape == (2, 3)
    assert_close(output.loss, loss_by_hand(output.logits, LABELS, [0.5, 0.5]))
    assert_close(wide.loss, loss_by_hand(output.logits, LABELS, [0.9, 0.1]))
    assert gradients(model, output.loss).keys() >= {"heads.matching.classifier.linear.weight"}


def test_pairs_are_scored_alone_too() -> None:
    model = tiny_model("bert", "matching").eval()
    assert_close(model(IDS[0], MASK[0]).logits, model(IDS, MASK).logits[0])
    assert model(IDS[0], MASK[0]).loss is None


def test_only_known_labels_that_differ_are_compared() -> None:
    assert comparable(LABELS).nonzero().tolist() == [[0, 1, 0], [0, 1, 2], [0, 2, 0], [1, 0, 1]]


def test_nothing_to_compare_is_no_loss_and_no_gradient() -> None:
    model = tiny_model("bert", "matching")
    output = model(IDS, MASK, labels=torch.tensor([[1, 1, 1], [-100, 0, -100]]))
    assert output.loss.item() == 0
    assert all(not gradient.any() for gradient in gradients(model, output.loss).values())


def test_labels_need_a_dimension_for_candidates() -> None:
    model = tiny_model("bert", "matching")
    with pytest.raises(ShapeError, match=r"these give \(3,\) scores and \(3,\) labels"):
        model(IDS[0], MASK[0], labels=LABELS[0])
    with pytest.raises(ShapeError, match=r"these give \(2, 3\) scores and \(2, 2\) labels"):
        model(IDS, MASK, labels=LABELS[:, :2])
