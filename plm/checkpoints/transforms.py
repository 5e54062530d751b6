"""Invertible operations between a source's tensors and ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Transform:
    """A pair of functions that undo each other bit by bit.

    read: their tensor -> ours; write: ours -> theirs. Both return views where possible.
    """

    name: str
    read: Callable[[Tensor], Tensor]
    write: Callable[[Tensor], Tensor]


def _transpose(tensor: Tensor) -> Tensor:
    return tensor.transpose(0, 1)


# torch's Linear stores (out, in); TensorFlow, Paddle, Flax and OpenAI's Conv1D store (in, out).
TRANSPOSE = Transform("transpose", _transpose, _transpose)

# OpenAI's convolutions of width 1 keep that 1 in front, (1, in, out); Keras' Conv1D biases are (1, out).
DROP_LEADING_ONE = Transform(
    "drop_leading_one",
    lambda tensor: tensor.squeeze(0),
    lambda tensor: tensor.unsqueeze(0),
)
