"""While a CPU trains, memory is asked of the system once; afterwards, and where somebody else decides, as ever."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from plm.training.heap import _glibc, freed_memory_kept

resource = pytest.importorskip("resource")

CPU = torch.device("cpu")
SIZE = 64 << 20
PAGES = SIZE // resource.getpagesize()

needs_glibc = pytest.mark.skipif(
    not sys.platform.startswith("linux") or _glibc() is None, reason="needs glibc, with its own settings"
)


def faults(rounds: int) -> int:
    """Pages that the system had to provide for a block of SIZE bytes, taken, filled and freed so many times."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(rounds):
        torch.ones(SIZE, dtype=torch.uint8)
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * int(resource.getpagesize())


@needs_glibc
def test_a_large_block_is_not_asked_for_again_and_again() -> None:
    with freed_memory_kept(CPU):
        faults(8)  # until it has found a place where nothing small gets in its way
        assert faults(8) < PAGES


@needs_glibc
def test_what_was_kept_is_given_back_at_the_end_also_after_an_error() -> None:
    before = resident()
    inside = []

    def use() -> None:
        torch.ones(4 * SIZE, dtype=torch.uint8)
        inside.append(resident())
        raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"), freed_memory_kept(CPU):
        use()
    assert inside[0] > before + 3 * SIZE
    assert resident() < before + SIZE


def test_the_environment_decides_where_it_says_something(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1000")
    assert _glibc() is None
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_")
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")
    assert _glibc() is None


def test_other_devices_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plm.training.heap._glibc", lambda: pytest.fail("asked for"))
    with freed_memory_kept(torch.device("cuda")):
        pass
