"""Two processes against one, for every kind of task: largest difference of losses (as a share of those above 1) and
of weights after a few updates.

python -m benchmarks processes [--count 2]

Starts torchrun once, on the CPU, with the tiny models and unequal batches of the tests. Plain gradient descent, which
shows every difference of the gradients; float32. "ddp" shares out batches, "fsdp" weights too.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from benchmarks.measure import emit
from plm.training.distributed import ALONE
from tests.training.parallel_cases import TASKS_IN_PARALLEL
from tests.training.parallel_worker import MODES


def start(folder: Path, count: int) -> None:
    """Let several processes write what becomes of every task."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    worker = ["-m", "tests.training.parallel_worker", str(folder), "tasks"]
    subprocess.run([*command, *worker], env=environment, cwd=Path(__file__).parents[1], check=True)


def differences(
    folder: Path, place: str, count: int, *, weights: dict[str, Tensor], records: list[dict[str, Any]]
) -> tuple[float, float]:
    """The largest difference of a loss and of a weight, over all processes, from those of one."""
    losses, moved = [], []
    for rank in range(count):
        found = load_file(folder / f"{place}.{rank}.safetensors")
        moved += [float((found[name] - tensor).abs().max()) for name, tensor in weights.items()]
        logged = json.loads((folder / f"{place}.{rank}.json").read_text(encoding="utf-8"))
        losses += [
            abs(theirs["loss"] - mine["loss"]) / max(1.0, mine["loss"])
            for mine, theirs in zip(records, logged, strict=True)
        ]
    return max(losses), max(moved)


def main() -> None:
    """Compare, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2, help="processes")
    count = parser.parse_args().count
    torch.set_num_threads(1)
    worst = 0.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        start(folder, count)
        print(f"{'task':32} {'':6} {'loss':>9} {'weights':>9}")
        for task, run in TASKS_IN_PARALLEL.items():
            weights, records = run(ALONE, "ddp")
            for mode in MODES:
                loss, weight = differences(folder, f"{mode}.{task}", count, weights=weights, records=records)
                worst = max(worst, loss, weight)
                print(f"{task:32} {mode:6} {loss:9.1e} {weight:9.1e}")
    emit("processes", count=count, tasks=len(TASKS_IN_PARALLEL), worst=worst)


if __name__ == "__main__":
    main()
