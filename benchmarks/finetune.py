"""Fine-tuning on real tasks: quality and speed of plm's Trainer and of transformers', side by side in one run.

    python -m benchmarks finetune --model FOLDER --data FOLDER [--tasks sst2,cola] [--seeds 1,2,3] [--examples 2000]
        [--epochs 2] [--dropout 0] [--precision bf16] [--peer-precision fp32] [--threads 2]

Same starting weights, token ids, random batches, hyper-parameters and seeds on both sides; without dropout, the same
training. A line for each task: means and spread of the scores (points) over the seeds, how many examples a second,
their ratio by the wall and in CPU seconds (which other programs on the machine disturb less), and how far the loss
curves are apart (nats).
The model is a checkpoint that both read, such as MiniLM-L6-H384-uncased. Needs transformers and accelerate.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.measure import emit
from benchmarks.recipes import RECIPES, Material
from benchmarks.sides import Contest, Outcome, curve_distance, in_turn, speed_ratio
from plm.training import TrainingConfig


def main() -> None:
    """Measure and print."""
    options = _options()
    torch.set_num_threads(options.threads)
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    for name in options.tasks.split(","):
        material = Material.read(
            RECIPES[name], Path(options.data), examples=options.examples, dev_examples=options.dev_examples
        )
        emit("finetune", task=name, **compare(material, options))


def compare(material: Material, options: argparse.Namespace) -> dict[str, Any]:
    """Train one task on both sides, once for each seed, and say how they compare."""
    config = TrainingConfig(
        learning_rate=options.learning_rate,
        num_train_epochs=options.epochs,
        precision=options.precision,
        eval_strategy="no",
        log_every=1,
    )
    contest = Contest(material, options.model, options.batch_size, options.dropout)

    def ours(seed: int) -> Outcome:
        return contest.train_plm(contest.start(seed), dataclasses.replace(config, seed=seed))

    def theirs(seed: int) -> Outcome:
        with tempfile.TemporaryDirectory() as folder:
            contest.start(seed).save_pretrained(folder)
            other = dataclasses.replace(config, seed=seed, precision=options.peer_precision or options.precision)
            return contest.train_peer(Path(folder), other)

    outcomes = in_turn([int(seed) for seed in options.seeds.split(",")], {"plm": ours, "transformers": theirs})
    return {
        "precision": options.precision,
        "peer_precision": options.peer_precision or options.precision,
        "seeds": options.seeds,
        "examples": len(contest.features),
        "epochs": options.epochs,
        "dropout": options.dropout,
        "metric": outcomes["plm"][0].metric,
        **{name: _summary(runs) for name, runs in outcomes.items()},
        "score_difference": round(_mean(outcomes["plm"]) - _mean(outcomes["transformers"]), 2),
        "speed_ratio": speed_ratio(outcomes, "seconds"),
        "cpu_ratio": speed_ratio(outcomes, "cpu_seconds"),
        "curve_distance": round(curve_distance(outcomes["plm"], outcomes["transformers"]), 4),
    }


def _mean(runs: Sequence[Outcome]) -> float:
    return statistics.fmean(run.score for run in runs)


def _summary(runs: Sequence[Outcome]) -> dict[str, Any]:
    scores = [run.score for run in runs]
    return {
        "mean": round(statistics.fmean(scores), 2),
        "spread": round(statistics.stdev(scores), 2) if len(scores) > 1 else None,
        "scores": [round(score, 2) for score in scores],
        "examples_per_second": round(max(run.examples / run.seconds for run in runs), 1),
        "examples_per_cpu_second": round(max(run.examples / run.cpu_seconds for run in runs), 1),
        "last_loss": round(statistics.fmean(statistics.fmean(run.losses[-10:]) for run in runs), 4),
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a folder that plm and transformers read")
    parser.add_argument("--data", required=True, help="the folder with glue/, conll2003/ and squad/")
    parser.add_argument("--tasks", default=",".join(RECIPES), help=f"some of {', '.join(RECIPES)}")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--examples", type=int, default=2000, help="of the training file, the first")
    parser.add_argument("--dev-examples", type=int, default=1000, help="of the dev file, the first")
    parser.add_argument("--epochs", type=float, default=2.0)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--dropout", type=float, help="of both sides, instead of the model's")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--peer-precision", choices=("fp32", "bf16"), help="as --precision unless given")
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    main()
