"""Fine-tune on the nine tasks of GLUE, from their original files, by the recipes of the package.

python examples/glue.py glue --model bert-base-uncased
python examples/glue.py glue --tasks rte,mrpc --seeds 1,2,3
"""

from __future__ import annotations

import argparse
from importlib import resources
from pathlib import Path

from plm.runs import read_run
from plm.runs.sweep import sweep

RECIPES = Path(str(resources.files("plm.configs"))) / "runs" / "glue"
TASKS = ("cola", "sst-2", "mrpc", "sts-b", "qqp", "mnli", "qnli", "rte", "wnli")


def main() -> None:
    """Train every task asked for, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="of the data: CoLA/, SST-2/ and so on, as GLUE distributes them")
    parser.add_argument("--model", default="plm/tiny-en", help="a checkpoint of any known layout, or a hub name")
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--seeds", default="42")
    parser.add_argument("--max-steps", type=int, help="updates of each task; by default three epochs")
    parser.add_argument("--output", type=Path, default=Path("glue-output"))
    options = parser.parse_args()

    rows = []
    for name in options.tasks.split(","):
        recipe = read_run(RECIPES / f"{name}.toml")
        assert recipe.task is not None
        files = {
            f"task.{split}": str(options.folder / Path(path).relative_to("glue"))
            for split, path in (("train", recipe.task.train), ("dev", recipe.task.dev))
            if path is not None
        }
        settings = {**files, "model": options.model, "output_dir": str(options.output / name)}
        if options.max_steps is not None:
            settings["training.max_steps"] = options.max_steps
        seeds = [int(seed) for seed in options.seeds.split(",")]
        (row,) = sweep(read_run(RECIPES / f"{name}.toml", settings), seeds=seeds, overwrite=True).rows
        scores = ", ".join(
            f"{metric} {row.mean(metric):.4f} ± {row.deviation(metric):.4f}"
            for metric in row.metrics
            if metric != "loss"
        )
        rows.append(f"{name:6} {scores}")
        print(rows[-1], flush=True)
    print("\n" + "\n".join(rows))


if __name__ == "__main__":
    main()
