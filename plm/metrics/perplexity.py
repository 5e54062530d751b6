"""Perplexity: how many words a language model hesitates between, from the loss it was trained with."""

from __future__ import annotations

import math
import sys

# Where exp leaves the range of floating numbers.
_LARGEST_LOSS = math.log(sys.float_info.max)


def perplexity(loss: float) -> float:
    """exp(loss), at least 1 for a loss from 0 up; infinity where that exceeds all floating numbers, nan for nan.

    loss: mean cross-entropy in nats, over all predicted tokens of a data set at once: the mean of the perplexities of
        its batches is another number, and larger.
    """
    return math.inf if loss > _LARGEST_LOSS else math.exp(loss)
