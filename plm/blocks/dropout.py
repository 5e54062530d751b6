"""Dropout whose random bits cost little on CPUs.

torch draws a double for each element, on one thread in many builds, which in a small model takes as long as a matrix
product. Here an element gets 16 bits of a stream that is seeded by one number of torch's default generator: the same
state gives the same mask, and gradient checkpointing, which rewinds that generator, sees the same mask twice.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from plm.blocks.eager import is_transformed

# An element is dropped when its 16 bits, read as a number from 0, are below dropout * _LEVELS.
_LEVELS = 1 << 16


class Dropout(nn.Dropout):
    """nn.Dropout, with bits as this file has them where a CPU trains eagerly."""

    def forward(self, input: Tensor) -> Tensor:
        """input: any shape, floating. Returns the same shape: elements are 0, or 1 / (1 - p) times what they were."""
        levels = round(self.p * _LEVELS)
        is_usual = self.training and input.device.type == "cpu" and not is_transformed() and not self.inplace
        if not is_usual or not 0 < levels < _LEVELS:
            return super().forward(input)
        return input * kept(input.shape, self.p, dtype=input.dtype).mul_(boost(self.p))


def kept(shape: tuple[int, ...], dropout: float, *, dtype: torch.dtype = torch.float32) -> Tensor:
    """1 = the element survives, 0 = it does not. dropout: in (0, 1), taken to the nearest 1 / 65,536. On the CPU."""
    count = math.prod(shape)
    seed = int(torch.empty((), dtype=torch.int64).random_())
    words = np.random.SFC64(seed).random_raw(-(-count // 4))  # a generator of 64 bits; there are few that are as fast
    bits = torch.from_numpy(words.view(np.int16)[:count])
    # Numbers at once: products of numbers and truth values take several times as long.
    survives = torch.empty(count, dtype=dtype)
    return torch.ge(bits, round(dropout * _LEVELS) - _LEVELS // 2, out=survives).view(shape)


def boost(dropout: float) -> float:
    """What survivors are multiplied with, so that sums stay what they were on average."""
    return 1.0 / (1.0 - round(dropout * _LEVELS) / _LEVELS)
