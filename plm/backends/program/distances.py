"""The constant of NEZHA's relative attention, without torch."""

from __future__ import annotations

from typing import Any

import numpy as np


def relative_table(radius: int, head_size: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Sinusoids of the clipped distances -radius .. radius, (2 radius + 1, head_size).

    Row p stands for the distance p - radius, key minus query, and holds sin(p / 10000^(2k / head_size)) in column 2k,
    the cosine in column 2k + 1; with an odd head size the last column is zero. Sources: Wei et al. 2019 and its code.
    """
    pairs = head_size // 2
    frequencies = 10000.0 ** (np.arange(pairs) * (-2.0 / head_size))
    angles = np.arange(2 * radius + 1)[:, None] * frequencies
    table = np.zeros((2 * radius + 1, head_size), np.float32)
    table[:, 0 : 2 * pairs : 2] = np.sin(angles)
    table[:, 1 : 2 * pairs : 2] = np.cos(angles)
    return table
