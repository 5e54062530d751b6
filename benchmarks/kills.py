"""Training runs that are killed again and again, against one that is not: how many end with the same bits?

python -m benchmarks kills [--kills 30] [--kills-each 3] [--seed 0]

The run is that of tests/training: a tiny BERT with accumulation, an average of the weights, evaluations, best weights
and a checkpoint after every second update. SIGKILL comes, in turn, at a random moment, after a random update, and
between two random operations of writing a checkpoint. Compared are final, best and last weights, bit for bit, and all
numbers of the history but those of the clock.
"""

from __future__ import annotations

import argparse
import random
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.measure import emit
from tests.training.resumable import Fault, assert_same, finished, outcome, start

CHANGES = {
    "gradient_accumulation_steps": 2,
    "ema_decay": 0.9,
    "num_train_epochs": 6,
    "save_steps": 2,
    "eval_steps": 3,
    "log_every": 4,
}

KINDS = ("moment", "update", "operation")


def kill(folder: Path, kind: str, draw: random.Random, *, longest: float) -> bool:
    """Begin or continue the run and kill it; False = it was finished before. longest: seconds to wait at most."""
    if kind == "moment":
        process = start(folder, CHANGES)
        time.sleep(draw.uniform(0.0, longest))
        process.kill()
        process.join()
        code: int = process.exitcode
        return code == -signal.SIGKILL
    fault: Fault = ("SIGKILL", draw.randrange(1, 8)) if kind == "update" else ("operation", draw.randrange(1, 40))
    return finished(folder, CHANGES, fault) == -signal.SIGKILL


def main() -> None:
    """Kill, finish, compare, count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30, help="that hit a run before its end")
    parser.add_argument("--kills-each", type=int, default=3, help="in one run, at most")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    kills, runs, equal = dict.fromkeys(KINDS, 0), 0, 0
    with tempfile.TemporaryDirectory() as place, tqdm(total=options.kills, unit="kill", disable=None) as bar:
        whole, longest = uninterrupted(Path(place, "whole"))
        while sum(kills.values()) < options.kills:
            runs += 1
            folder = Path(place, f"run-{runs}")
            for _ in range(min(options.kills_each, options.kills - sum(kills.values()))):
                kind = KINDS[sum(kills.values()) % len(KINDS)]
                if not kill(folder, kind, draw, longest=longest):
                    break
                kills[kind] += 1
                bar.update()
            equal += ends_like(whole, folder)
    emit("kills", kills=sum(kills.values()), at=kills, runs=runs, equal=equal)


def uninterrupted(folder: Path) -> tuple[Any, float]:
    """The outcome of the run without kills, and the seconds that it takes once Python has torch."""
    finished(folder.with_name("warm"), CHANGES | {"max_steps": 1})
    begin = time.perf_counter()
    if code := finished(folder, CHANGES):
        raise SystemExit(f"the run without kills ended with {code}")
    return outcome(folder), time.perf_counter() - begin


def ends_like(whole: Any, folder: Path) -> bool:
    """Finish a run; True = its outcome is the same."""
    if finished(folder, CHANGES):
        return False
    try:
        assert_same(whole, outcome(folder))
    except AssertionError as difference:
        print(f"{folder.name}: {str(difference)[:400]}", flush=True)
        return False
    return True


if __name__ == "__main__":
    main()
