"""Interleaved timing, ratios with their spread, and the peak of the machine in the same run."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

import plm

# Whose versions matter to what is measured, where they are installed.
PACKAGES = ("torch", "numpy", "tokenizers", "transformers", "onnxruntime")


def interleave(
    variants: Mapping[str, Callable[[], object]], *, repetitions: int, rest: float = 0.0
) -> dict[str, list[float]]:
    """Seconds of each variant, run in turn (A B C A B C ...) after one warm-up of all.

    rest: seconds before each; threads of the one before may wait busily for more, as onnxruntime's do.
    """
    for run in variants.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(repetitions):
        for name, run in variants.items():
            time.sleep(rest)
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def ratios(seconds: Mapping[str, list[float]], *, of: str, to: str) -> dict[str, float]:
    """How many times faster `of` is than `to`: median, least and most of the ratios of neighbouring runs."""
    pairs = [theirs / ours for ours, theirs in zip(seconds[of], seconds[to], strict=True)]
    return {"median": round(statistics.median(pairs), 3), "min": round(min(pairs), 3), "max": round(max(pairs), 3)}


def peak_gflops(dtype: torch.dtype, *, size: int = 2048, repetitions: int = 5) -> float:
    """The best rate of a square matrix product on the threads set now: what this machine can do."""
    left, right = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
    best = float("inf")
    for _ in range(repetitions + 2):
        start = time.perf_counter()
        left @ right
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best / 1e9


def own_peak_mib() -> int:
    """Peak resident memory of this process, MiB (Linux; unlike ru_maxrss it starts anew with a program)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) // 1024


def sentence_lengths(count: int, *, seed: int = 0) -> list[int]:
    """Token counts as real sentences have them: lognormal, median 29, mean about 34, cut to 3 ... 189."""
    drawn = np.random.default_rng(seed).lognormal(np.log(29), 0.6, count)
    return [int(n) for n in np.clip(drawn.round(), 3, 189)]


def setting() -> dict[str, Any]:
    """When, where and with what something is measured."""
    versions = {"plm": plm.__version__}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    accelerator = {"accelerator": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": platform.machine(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        **accelerator,
        "versions": versions,
    }


def processor() -> str:
    """What the processor calls itself; "" where the system does not say."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def emit(name: str, **values: Any) -> None:
    """Print one JSON line with the machine and the settings in it."""
    print(json.dumps({"benchmark": name, **values, "setting": setting()}), flush=True)
