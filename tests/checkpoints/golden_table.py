"""`python -m tests.checkpoints.golden_table`: for each format, how many golden checkpoints agree, and how closely."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from plm.checkpoints.formats import find_weights
from tests.checkpoints.golden_fields import Case, compute
from tests.checkpoints.test_golden import FOLDERS, TOLERANCE, entries, load


def main() -> None:
    """Print the table."""
    worst: dict[str, list[float]] = defaultdict(list)
    for folder in FOLDERS:
        for entry in entries(folder):
            with np.load(folder / "golden.npz", allow_pickle=False) as file:
                golden = dict(file)
            case = Case(load(folder, entry), golden)
            pairs = [pair for field in golden if (pair := compute(case, field)) is not None]
            largest = max(float(np.abs(ours - theirs).max()) for ours, theirs in pairs)
            worst[find_weights(folder)[0].name].append(largest)
    print("format | checkpoints | agree | largest difference")
    for name, values in sorted(worst.items()):
        agree = sum(value <= TOLERANCE for value in values)
        print(f"{name} | {len(values)} | {agree} | {max(values):.1e}")


if __name__ == "__main__":
    main()
