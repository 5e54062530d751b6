"""How many of oneDNN's kernels a process keeps. Imports no torch."""

from __future__ import annotations

import os

# One is made for every number of tokens that a batch may have; 1024 are kept by default, which is gigabytes.
_KEPT = {"LRU_CACHE_CAPACITY": "64", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64"}


def bound_kernels() -> None:
    """Let this process keep few kernels, unless the environment says how many.

    It counts before the first kernel is made; later calls change nothing.
    """
    for name, count in _KEPT.items():
        os.environ.setdefault(name, count)
