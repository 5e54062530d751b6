"""The cache returns what was put in, counts only finished passes, and refuses what does not fit."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from plm.blocks.cache import KeyValueCache
from plm.errors import ShapeError


def entries(tokens: int, *, rows: int = 2) -> tuple[Tensor, Tensor]:
    """Keys and values of some tokens: 3 heads of size 4."""
    return torch.randn(rows, 3, tokens, 4), torch.randn(rows, 3, tokens, 4)


@given(chunks=st.lists(st.integers(1, 4), min_size=1, max_size=5))
@settings(deadline=None, max_examples=30)
def test_a_cache_holds_all_chunks_in_order(chunks: list[int]) -> None:
    cache = KeyValueCache(layers=2, capacity=sum(chunks))
    seen = [(torch.empty(2, 3, 0, 4), torch.empty(2, 3, 0, 4)) for _ in range(2)]
    for tokens in chunks:
        for layer in range(2):
            new = entries(tokens)
            seen[layer] = tuple(torch.cat(pair, dim=2) for pair in zip(seen[layer], new, strict=True))
            keys, values = cache.update(layer, *new)
            assert torch.equal(keys, seen[layer][0])
            assert torch.equal(values, seen[layer][1])
        cache.advance(tokens)
    assert cache.length == sum(chunks)


def test_a_pass_that_fails_leaves_the_cache_as_it_was() -> None:
    cache, first, again = KeyValueCache(layers=1, capacity=5), entries(2), entries(1)
    cache.update(0, *first)
    cache.advance(2)
    cache.update(0, *entries(3))  # and then something goes wrong: no advance
    keys, _ = cache.update(0, *again)
    assert torch.equal(keys, torch.cat([first[0], again[0]], dim=2))


def test_a_first_pass_that_fails_does_not_fix_the_batch_size() -> None:
    cache = KeyValueCache(layers=1, capacity=5)
    cache.update(0, *entries(2, rows=4))
    keys, _ = cache.update(0, *entries(2, rows=3))
    assert keys.shape[0] == 3


def test_a_full_cache_says_how_much_is_needed() -> None:
    cache = KeyValueCache(layers=1, capacity=5)
    cache.update(0, *entries(4))
    cache.advance(4)
    with pytest.raises(ShapeError, match="the cache holds 5 tokens, 6 are needed"):
        cache.update(0, *entries(2))
    assert cache.length == 4


def test_another_batch_size_is_refused() -> None:
    cache = KeyValueCache(layers=1, capacity=5)
    cache.update(0, *entries(1))
    cache.advance(1)
    with pytest.raises(ShapeError, match="the cache holds 2 rows, got 3: use `select`"):
        cache.update(0, *entries(1, rows=3))


def test_select_keeps_rows_in_the_given_order_and_may_repeat_them() -> None:
    cache, old, new = KeyValueCache(layers=2, capacity=5), entries(2, rows=3), entries(1, rows=4)
    cache.update(0, *old)
    cache.advance(2)
    cache.select(torch.tensor([2, 0, 0, 1]))
    keys, values = cache.update(0, *new)
    assert torch.equal(keys, torch.cat([old[0][[2, 0, 0, 1]], new[0]], dim=2))
    assert torch.equal(values, torch.cat([old[1][[2, 0, 0, 1]], new[1]], dim=2))


def test_truncate_forgets_the_tokens_behind() -> None:
    cache, old, new = KeyValueCache(layers=1, capacity=4), entries(3), entries(2)
    cache.update(0, *old)
    cache.advance(3)
    cache.truncate(1)
    keys, _ = cache.update(0, *new)
    assert torch.equal(keys, torch.cat([old[0][:, :, :1], new[0]], dim=2))


@pytest.mark.parametrize("length", [-1, 4])
def test_truncate_cannot_make_a_cache_longer(length: int) -> None:
    cache = KeyValueCache(layers=1, capacity=4)
    cache.update(0, *entries(3))
    cache.advance(3)
    with pytest.raises(ShapeError, match=f"cannot truncate a cache of 3 tokens to {length}"):
        cache.truncate(length)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_memory_counts_keys_and_values_at_full_capacity(dtype: torch.dtype) -> None:
    cache = KeyValueCache(layers=3, capacity=7)
    assert cache.memory() == 0
    for layer in range(2):
        cache.update(layer, *(tensor.to(dtype) for tensor in entries(1)))
    assert cache.memory() == 2 * 2 * (2 * 3 * 7 * 4) * dtype.itemsize
