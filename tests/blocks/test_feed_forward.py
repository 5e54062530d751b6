"""The feed-forward network is two linear layers with an activation between them."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from plm.blocks.activations import ACTIVATIONS
from plm.blocks.feed_forward import FeedForward
from plm.errors import UnknownNameError
from tests.tiny_models import randomized
from tests.tolerances import assert_close


def network(activation: str) -> FeedForward:
    """4 inputs, 7 inner values, random weights."""
    made: FeedForward = randomized(FeedForward(hidden_size=4, intermediate_size=7, activation=activation))
    return made


@pytest.mark.parametrize("activation", ACTIVATIONS.names())
@pytest.mark.parametrize("shape", [(4,), (5, 4), (2, 3, 4)])
def test_it_computes_down_of_activation_of_up(activation: str, shape: tuple[int, ...]) -> None:
    feed_forward, hidden = network(activation), torch.randn(shape)
    inner = ACTIVATIONS.get(activation)(F.linear(hidden, feed_forward.up.weight, feed_forward.up.bias))
    assert_close(feed_forward(hidden), F.linear(inner, feed_forward.down.weight, feed_forward.down.bias))


def test_an_unknown_activation_is_refused_before_the_first_use() -> None:
    with pytest.raises(UnknownNameError, match="unknown activation 'swish'"):
        FeedForward(hidden_size=4, intermediate_size=7, activation="swish")


def test_an_activation_that_somebody_registers_is_used() -> None:
    ACTIVATIONS.add("square", torch.square)
    try:
        feed_forward, hidden = network("square"), torch.randn(3, 4)
        assert_close(feed_forward(hidden), feed_forward.down(feed_forward.up(hidden).square()))
    finally:
        ACTIVATIONS.remove("square")
