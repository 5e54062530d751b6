"""With a cache, tokens are computed once and come out as without it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from plm.errors import ShapeError
from plm.models.backbone import Backbone
from tests.tiny_models import mask_of, random_ids, tiny_model
from tests.tolerances import assert_close

LENGTH = 9
IDS = random_ids(3, LENGTH)
LEFT = mask_of(LENGTH, (0, 9), (3, 9), (1, 9))
CAUSAL = {"openai-gpt": {}, "bert": {"attention_pattern": "causal"}, "nezha": {"attention_pattern": "causal"}}

every_family = pytest.mark.parametrize("family", CAUSAL)


def backbone(family: str, **changes: Any) -> Backbone:
    """A causal model in evaluation mode."""
    settings_of: dict[str, Any] = {**CAUSAL[family], **changes}
    return tiny_model(family, pooler=False, **settings_of).eval().backbone


def by_chunks(part: Backbone, chunks: list[int], mask: Tensor | None, **options: Any) -> Tensor:
    """Hidden states of IDS, computed a chunk at a time."""
    cache, states, seen = part.new_cache(LENGTH), [], 0
    for tokens in chunks:
        ids, seen = IDS[:, seen : seen + tokens], seen + tokens
        so_far = None if mask is None else mask[:, :seen]
        states.append(part(ids, so_far, cache=cache, **options).last_hidden_state)
    assert cache.length == seen
    return torch.cat(states, 1)


@every_family
@pytest.mark.parametrize("mask", [None, LEFT], ids=["full", "left-padded"])
@given(cuts=st.sets(st.integers(1, LENGTH - 1)))
@settings(deadline=None, max_examples=10)
@torch.no_grad()
def test_any_chunks_give_what_the_whole_text_gives(family: str, mask: Tensor | None, cuts: set[int]) -> None:
    part, edges = backbone(family), [0, *sorted(cuts), LENGTH]
    chunks = [right - left for left, right in pairwise(edges)]
    live = torch.ones_like(IDS) if mask is None else mask
    whole = part(IDS, mask).last_hidden_state
    assert_close(by_chunks(part, chunks, mask)[live == 1], whole[live == 1])


@every_family
@torch.no_grad()
def test_token_by_token_gives_what_the_whole_text_gives(family: str) -> None:
    part = backbone(family)
    assert_close(by_chunks(part, [1] * LENGTH, None), part(IDS).last_hidden_state)


@every_family
@torch.no_grad()
def test_pre_norm_and_token_types_work_with_a_cache(family: str) -> None:
    part, types = backbone(family, norm="pre"), torch.ones_like(IDS)
    cache = part.new_cache(LENGTH)
    halves = [
        part(IDS[:, part_of], token_type_ids=types[:, part_of], cache=cache).last_hidden_state
        for part_of in (slice(0, 4), slice(4, LENGTH))
    ]
    assert_close(torch.cat(halves, 1), part(IDS, token_type_ids=types).last_hidden_state)


@every_family
@torch.no_grad()
def test_beams_can_be_reordered_and_drafts_taken_back(family: str) -> None:
    part, beams = backbone(family), torch.tensor([2, 0, 0])
    cache = part.new_cache(LENGTH)
    part(IDS[:, :6], LEFT[:, :6], cache=cache)
    cache.truncate(4)
    cache.select(beams)
    ids, mask = IDS[beams], LEFT[beams]
    rest = part(ids[:, 4:], mask, cache=cache).last_hidden_state
    assert_close(rest, part(ids, mask).last_hidden_state[:, 4:])


@every_family
@torch.no_grad()
def test_a_row_that_has_ended_does_not_disturb_the_others(family: str) -> None:
    part, mask = backbone(family), torch.ones_like(IDS)
    mask[1, 5:] = 0
    cache = part.new_cache(LENGTH)
    states = [part(IDS[:, n : n + 1], mask[:, : n + 1], cache=cache) for n in range(LENGTH)]
    assert_close(torch.cat([s.last_hidden_state for s in states], 1)[[0, 2]], part(IDS[[0, 2]]).last_hidden_state)
    assert states[-1].last_tokens.shape == (3, 12)


@torch.no_grad()
def test_a_prefix_lies_in_the_cache_and_the_rest_is_causal() -> None:
    part, prefixes = backbone("bert", attention_pattern="prefix"), torch.tensor([2, 2, 2])
    types = (torch.arange(LENGTH) >= 2).long().expand_as(IDS)
    whole = part(IDS, LEFT, types, prefix_lengths=prefixes).last_hidden_state
    for given_again in (None, prefixes):
        cache, states = part.new_cache(LENGTH), []
        for start, stop in ((0, 5), (5, 6), (6, LENGTH)):
            lengths = prefixes if start == 0 else given_again
            chunk = (IDS[:, start:stop], LEFT[:, :stop], types[:, start:stop])
            states.append(part(*chunk, prefix_lengths=lengths, cache=cache).last_hidden_state)
        assert_close(torch.cat(states, 1)[LEFT == 1], whole[LEFT == 1])


@torch.no_grad()
def test_a_pass_that_fails_can_be_made_again() -> None:
    part = backbone("openai-gpt")
    cache = part.new_cache(5)
    part(IDS[:, :3], cache=cache)
    with pytest.raises(ShapeError, match="the cache holds 5 tokens, 6 are needed"):
        part(IDS[:, 3:6], cache=cache)
    with pytest.raises(ShapeError, match=r"attention_mask \(3, 4\) does not fit 3 rows of 2 tokens and 5 keys"):
        part(IDS[:, 3:5], torch.ones(3, 4), cache=cache)
    rest = part(IDS[:, 3:5], cache=cache).last_hidden_state
    assert_close(rest, part(IDS[:, :5]).last_hidden_state[:, 3:])


@torch.no_grad()
def test_positions_end_where_the_table_ends_and_nezha_goes_on() -> None:
    for family, limited in (("openai-gpt", True), ("nezha", False)):
        part = backbone(family, max_position_embeddings=4)
        cache = part.new_cache(LENGTH)
        part(IDS[:, :4], cache=cache)
        if limited:
            with pytest.raises(ShapeError, match="the text has 5 tokens, the model has 4 positions"):
                part(IDS[:, 4:5], cache=cache)
        else:
            part(IDS[:, 4:5], cache=cache)


@every_family
def test_recomputation_in_training_leaves_a_cached_pass_alone(family: str) -> None:
    part = backbone(family).train()
    part.gradient_checkpointing = True
    cache = part.new_cache(LENGTH)
    states = [part(IDS[:, n : n + 3], cache=cache).last_hidden_state.detach() for n in (0, 3, 6)]
    assert_close(torch.cat(states, 1), part(IDS).last_hidden_state)
