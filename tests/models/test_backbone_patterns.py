"""Who may attend to whom: later tokens never reach earlier rows, and a prefix sees itself whole."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from plm.models.backbone import Backbone
from tests.tiny_models import FAMILY_NAMES, mask_of, packing, random_ids, tiny_model
from tests.tolerances import assert_close

LENGTH = 8
IDS = random_ids(2, LENGTH)
LEFT = mask_of(LENGTH, (0, 8), (3, 8))

every_family = pytest.mark.parametrize("family", FAMILY_NAMES)
packed_and_padded = pytest.mark.parametrize("inside", [True, False], ids=["packed", "padded"])


def backbone(family: str) -> Backbone:
    """In evaluation mode."""
    return tiny_model(family).eval().backbone


def with_other_token(place: int) -> Tensor:
    """IDS with another token there, in both rows."""
    changed = IDS.clone()
    changed[:, place] = (changed[:, place] + 1) % 31
    return changed


def touched(part: Backbone, place: int, **options: Any) -> Tensor:
    """(2, length), bool: which rows of the output depend on the token at a place, padding excepted."""
    before, after = (part(ids, **options).last_hidden_state for ids in (IDS, with_other_token(place)))
    return (before - after).abs().amax(-1) > 0


@every_family
@packed_and_padded
@given(place=st.integers(0, LENGTH - 1))
@settings(deadline=None, max_examples=LENGTH)
def test_later_tokens_do_not_change_earlier_rows(family: str, inside: bool, place: int) -> None:
    with packing(inside=inside):
        changed = touched(backbone(family), place, attention_mask=LEFT, pattern="causal")
    assert torch.equal(changed[0], torch.arange(LENGTH) >= place)
    if place >= 3:
        assert torch.equal(changed[1, 3:], torch.arange(3, LENGTH) >= place)


@every_family
@packed_and_padded
@given(place=st.integers(0, LENGTH - 1), prefix=st.integers(0, LENGTH))
@settings(deadline=None, max_examples=12)
def test_a_token_of_the_prefix_reaches_all_rows_and_others_only_later_ones(
    family: str, inside: bool, place: int, prefix: int
) -> None:
    lengths = torch.tensor([prefix, 0])
    with packing(inside=inside):
        changed = touched(backbone(family), place, attention_mask=LEFT, pattern="prefix", prefix_lengths=lengths)
    everywhere = torch.ones(LENGTH, dtype=torch.bool)
    assert torch.equal(changed[0], everywhere if place < prefix else torch.arange(LENGTH) >= place)


@every_family
def test_in_the_full_pattern_every_token_reaches_every_row(family: str) -> None:
    assert touched(backbone(family), 5, pattern="full").all()


@every_family
@packed_and_padded
def test_a_prefix_of_everything_is_full_and_of_nothing_is_causal(family: str, inside: bool) -> None:
    part = backbone(family)
    with packing(inside=inside):
        for lengths, same in (([8, 5], "full"), ([0, 0], "causal")):
            prefixed = part(IDS, LEFT, pattern="prefix", prefix_lengths=torch.tensor(lengths))
            expected = part(IDS, LEFT, pattern=same)
            assert_close(prefixed.last_hidden_state[LEFT == 1], expected.last_hidden_state[LEFT == 1])


@every_family
@packed_and_padded
def test_the_prefix_is_by_default_the_leading_tokens_of_type_zero(family: str, inside: bool) -> None:
    part = backbone(family)
    types = (torch.arange(LENGTH) >= 5).long().expand(2, -1)
    with packing(inside=inside):
        told = part(IDS, LEFT, types, pattern="prefix").last_hidden_state
        given_lengths = part(IDS, LEFT, types, pattern="prefix", prefix_lengths=torch.tensor([5, 2]))
    assert torch.equal(told, given_lengths.last_hidden_state)


def test_without_a_mask_the_prefix_counts_from_the_start() -> None:
    part, types = backbone("bert"), torch.tensor([[0, 0, 1, 1, 0, 0, 0, 0], [0] * 8])
    told = part(IDS, None, types, pattern="prefix").last_hidden_state
    assert torch.equal(
        told, part(IDS, None, types, pattern="prefix", prefix_lengths=torch.tensor([2, 8])).last_hidden_state
    )


@pytest.mark.parametrize("family", ["bert", "nezha"])
def test_the_pattern_of_the_config_is_the_default_and_a_call_may_say_otherwise(family: str) -> None:
    causal = tiny_model(family, attention_pattern="causal").eval().backbone
    full = tiny_model(family).eval().backbone
    assert torch.equal(causal(IDS).last_hidden_state, full(IDS, pattern="causal").last_hidden_state)
    assert torch.equal(causal(IDS, pattern="full").last_hidden_state, full(IDS).last_hidden_state)
