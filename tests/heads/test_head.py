"""What heads share: target names are checked, padding is never counted, and nothing to count is no error."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from plm.errors import UnknownNameError
from plm.heads.head import (
    HEADS,
    IGNORED_LABEL,
    always,
    check_targets,
    mean_cross_entropy,
    never,
    token_labels,
    when_pooled,
)
from plm.models.families import FAMILIES
from tests.tiny_models import mask_of, packing, random_ids, tiny_config, tiny_model
from tests.tolerances import assert_close


def test_targets_that_a_head_does_not_take_are_answered_with_the_nearest() -> None:
    check_targets({"labels": None}, ("labels",), "masked_lm")
    expected = r"^masked_lm takes no target 'label'; did you mean 'labels'\? \(it takes: labels\)$"
    with pytest.raises(UnknownNameError, match=expected):
        check_targets({"label": None}, ("labels",), "masked_lm")
    with pytest.raises(UnknownNameError, match=r"a model without head takes no target 'labels' \(it takes: none\)"):
        check_targets({"labels": None}, (), "a model without head")


@pytest.mark.parametrize("shape", [(4, 5), (2, 3, 5)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_the_mean_is_taken_over_labels_that_count(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    logits = torch.randn(shape).to(dtype)
    labels = torch.randint(0, 5, shape[:-1])
    labels[0] = IGNORED_LABEL
    expected = F.cross_entropy(logits.float().flatten(0, -2), labels.flatten(), ignore_index=IGNORED_LABEL)
    assert mean_cross_entropy(logits, labels).dtype == torch.float32
    assert_close(mean_cross_entropy(logits, labels), expected)


@pytest.mark.parametrize("rows", [0, 3])
def test_when_nothing_counts_the_mean_is_zero_and_has_gradients(rows: int) -> None:
    logits = torch.full((rows, 5), 6e4, dtype=torch.float16, requires_grad=True)  # whose sum is infinite
    loss = mean_cross_entropy(logits, torch.full((rows,), IGNORED_LABEL))
    assert loss.item() == 0
    loss.backward()
    assert logits.grad is not None
    assert torch.equal(logits.grad, torch.zeros_like(logits))


@pytest.mark.parametrize("inside", [True, False], ids=["packed", "padded"])
def test_labels_at_padding_never_count(inside: bool) -> None:
    ids, mask = random_ids(3, 6), mask_of(6, (0, 6), (0, 2), (3, 6))
    with packing(inside=inside):
        encoding = tiny_model("bert").backbone(ids, mask)
    labels = token_labels(encoding, ids)
    assert int((labels != IGNORED_LABEL).sum()) == int(mask.sum())
    restored = encoding.restore(labels.masked_fill(labels == IGNORED_LABEL, 0))
    assert torch.equal(restored, ids * mask)


def test_needs_of_a_pooler_are_told_by_the_config() -> None:
    pooled, last = tiny_config("bert"), tiny_config("openai-gpt")
    assert [when_pooled(pooled), when_pooled(last)] == [True, False]
    assert [always(last), never(pooled)] == [True, False]


def test_every_head_names_its_targets_and_its_parts() -> None:
    for name, spec in HEADS.items():
        family = next(family for family, one in FAMILIES.items() if name in one.heads)
        head = spec.build(tiny_config(family))
        assert isinstance(head.targets, tuple)
        for prefix, _ in spec.parts:
            assert head.get_submodule(prefix) is not None
        covered = [prefix for prefix, _ in spec.parts]
        for parameter, _ in head.named_parameters():
            assert any(not prefix or parameter.startswith(f"{prefix}.") for prefix in covered), parameter
