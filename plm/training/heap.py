"""Memory that an update frees and the next one wants again stays with the process while a CPU trains.

glibc hands blocks above 32 MiB back to the system at once, and the top of the heap too, so that every update pays for
fresh pages again, the gradient of the word table first of all.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

# Parameters of mallopt(3): bytes from which blocks get a mapping of their own; free bytes on top before they go back.
_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1

_MIB = 1 << 20

# What glibc arrives at by itself in a process that has used large blocks: the ends of its own adjustment.
_USUAL = {_MMAP_THRESHOLD: 32 * _MIB, _TRIM_THRESHOLD: 64 * _MIB}
_KEEPING = {_MMAP_THRESHOLD: 1024 * _MIB, _TRIM_THRESHOLD: 2**31 - 1}


@contextmanager
def freed_memory_kept(device: torch.device) -> Iterator[None]:
    """Inside, the heap keeps what is freed; afterwards it gives it back.

    Does nothing for a GPU, without glibc, or where MALLOC_... or GLIBC_TUNABLES of the environment say how the heap
    is to be kept. Concerns the whole process, as long as one thread is inside; but large blocks that other threads than
    the main one take are not kept, as glibc has no room for them.
    """
    library = _glibc() if device.type == "cpu" else None
    if library is None:
        yield
        return
    _set(library, _KEEPING)
    try:
        yield
    finally:
        _set(library, _USUAL)
        library.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    """The C library, if it is glibc and nobody has said how it is to allocate."""
    is_told = any(name.startswith("MALLOC_") for name in os.environ) or "glibc.malloc" in os.environ.get(
        "GLIBC_TUNABLES", ""
    )
    if is_told or not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") and hasattr(library, "mallopt") else None


def _set(library: ctypes.CDLL, values: dict[int, int]) -> None:
    for parameter, value in values.items():
        library.mallopt(parameter, value)
