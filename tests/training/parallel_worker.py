"""One of several processes: runs cases and writes what came out. Arguments: a folder; "tasks" = only those."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file

from plm.training import gradient_sum
from plm.training.distributed import join
from tests.training import parallel_runs
from tests.training.parallel_cases import CASES_IN_PARALLEL, TASKS_IN_PARALLEL, InParallel

MODES = ("ddp", "fsdp")


def run_cases(folder: Path, cases: Mapping[str, InParallel]) -> None:
    """Write <parallel>.<case>.<rank>.safetensors and .json for every case."""
    processes = join()
    gradient_sum._BUCKET = 500  # tiny models would fill only one
    for parallel, (name, case) in itertools.product(MODES, cases.items()):
        tensors, records = case(processes, parallel)
        place = folder / f"{parallel}.{name}.{processes.rank}"
        save_file({key: tensor.contiguous().clone() for key, tensor in tensors.items()}, f"{place}.safetensors")
        Path(f"{place}.json").write_text(json.dumps(records), encoding="utf-8")


def run_trainers(folder: Path) -> None:
    """Finish the runs that one process began, and begin others."""
    for parallel in MODES:
        parallel_runs.save(folder / f"begun by one, {parallel}", parallel, stop=parallel_runs.UPDATES)
        parallel_runs.save(folder / f"begun by two, {parallel}", parallel, stop=5)


if __name__ == "__main__":
    if sys.argv[2:] == ["tasks"]:
        run_cases(Path(sys.argv[1]), TASKS_IN_PARALLEL)
    else:
        run_cases(Path(sys.argv[1]), CASES_IN_PARALLEL)
        run_trainers(Path(sys.argv[1]))
