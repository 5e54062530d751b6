"""Train with several processes: the same recipe, the same losses, the work shared.

    torchrun --nproc-per-node 2 examples/torchrun_ddp.py run.toml
    torchrun --nnodes 2 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint HOST:29500 \
        --max-restarts 3 examples/torchrun_ddp.py run.toml

Give the recipe training.save_strategy: after a process died, all start again and go on from the newest whole
checkpoint. `training.parallel = "fsdp"` shards the model.
"""

from __future__ import annotations

import argparse
import os
import sys

from plm.runs import read_run, train


def main() -> int:
    """Train; the first process tells how it went."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe", help="a TOML file, as in configs/runs")
    parser.add_argument("--max-steps", type=int)
    options = parser.parse_args()
    settings = {"training.resume": "auto"}
    if options.max_steps is not None:
        settings["training.max_steps"] = options.max_steps
    report = train(read_run(options.recipe, settings))
    if os.environ.get("RANK", "0") == "0":
        print("\n".join(report.lines()))
    return report.training.exit_code


if __name__ == "__main__":
    sys.exit(main())
