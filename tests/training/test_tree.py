"""Whatever state is made of comes back as it was."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from plm.errors import CheckpointError, TrainingError
from plm.training.tree import pack, unpack

DTYPES = (torch.float32, torch.bfloat16, torch.int64, torch.uint8, torch.bool)

tensors = st.builds(
    lambda values, dtype: torch.tensor(values).to(dtype),
    st.one_of(st.integers(-9, 9), st.lists(st.integers(-9, 9), max_size=3)),
    st.sampled_from(DTYPES),
)
leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | tensors
keys = st.integers() | st.text(max_size=5) | st.sampled_from(["$tensor", "$tuple", "a/b", "a"])
trees = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3) | st.lists(inner, max_size=3).map(tuple) | st.dictionaries(keys, inner, max_size=3)
    ),
    max_leaves=12,
)


def same(first: Any, second: Any) -> bool:
    """Equal in type and value, order of keys and NaN included."""
    if type(first) is not type(second):
        return False
    if isinstance(first, Tensor):
        return first.dtype == second.dtype and torch.equal(first, second)
    if isinstance(first, dict):
        return same(list(first.items()), list(second.items()))
    if isinstance(first, (list, tuple)):
        return len(first) == len(second) and all(map(same, first, second))
    if isinstance(first, float):
        return repr(first) == repr(second)
    return bool(first == second)


@settings(deadline=None, max_examples=200)
@given(trees)
def test_trees_come_back_as_they_were(tree: Any) -> None:
    values, found = pack(tree)
    assert same(unpack(json.loads(json.dumps(values, allow_nan=False)), found), tree)


def test_tensors_are_named_by_their_place_and_shared_ones_held_once() -> None:
    weight = torch.ones(2)
    _, found = pack({"model": {"a": weight, "tied": weight.detach()}, "other": [{3: torch.zeros(1)}]})
    assert list(found) == ["model/a", "other/0/3"]
    assert found["model/a"].data_ptr() == weight.data_ptr()


def test_a_state_dict_of_an_optimizer_comes_back() -> None:
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    assert same(unpack(*pack(optimizer.state_dict())), optimizer.state_dict())


@pytest.mark.parametrize("value", [{1, 2}, b"bytes", object(), {(1, 2): 3}, {None: 1}, 1j])
def test_what_a_checkpoint_cannot_hold_is_named_with_its_place(value: object) -> None:
    with pytest.raises(
        TrainingError, match=r"callbacks/Mine 0/1: a checkpoint cannot hold \w+; it holds None, numbers"
    ):
        pack({"callbacks": {"Mine 0": [math.nan, value]}})


@pytest.mark.parametrize(
    "values", [{"$tensor": "gone"}, {"$unknown": 1}, {"$items": [1]}, {"$float": "1"}, {"$tuple": 3}]
)
def test_values_that_plm_did_not_write_are_refused(values: Any) -> None:
    with pytest.raises(CheckpointError, match="not what plm writes"):
        unpack([values], {})
