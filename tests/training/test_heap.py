"""While a CPU trains, memory is asked of the system once; afterwards, and where somebody else decides, as ever."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch

from plm.training.heap import _glibc, freed_memory_kept

# In a process of its own, whose heap nobody has used before; the numbers are in blocks of 64 MiB.
SCRIPT = """
import json, resource
from pathlib import Path
import torch
from plm.training.heap import freed_memory_kept

SIZE, PAGE = 64 << 20, resource.getpagesize()

def asked(rounds):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(rounds):
        torch.ones(SIZE, dtype=torch.uint8)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) * PAGE / SIZE

def held():
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / SIZE

told = {"before": held()}
try:
    with freed_memory_kept(torch.device("cpu")):
        asked(8)  # until it has found a place where nothing small gets in its way
        told["asked"] = asked(8)
        torch.ones(4 * SIZE, dtype=torch.uint8)
        told["inside"] = held()
        raise ValueError("inside")
except ValueError:
    told["after"] = held()
print(json.dumps(told))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux") or _glibc() is None, reason="needs glibc's own settings")
def test_large_blocks_are_asked_for_once_and_given_back_at_the_end_also_after_an_error() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, env=os.environ)
    told = json.loads(done.stdout)
    assert told["asked"] < 1
    assert told["inside"] > told["before"] + 3
    assert told["after"] < told["before"] + 1


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
