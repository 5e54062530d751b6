"""Where a tensor's memory comes from, by the kernel's own account."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import Tensor

_MAPS = Path("/proc/self/maps")


def is_mapped(tensor: Tensor, file: Path) -> bool:
    """Whether the tensor's values lie in a mapping of the file. Skips the test where the kernel does not tell."""
    if not _MAPS.exists():
        pytest.skip("needs /proc/self/maps")
    for line in _MAPS.read_text().splitlines():
        low, high = (int(end, 16) for end in line.split()[0].split("-"))
        if low <= tensor.data_ptr() < high:
            return line.endswith(str(file.resolve()))
    return False
