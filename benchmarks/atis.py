"""Intents and slots of ATIS: both on one encoder, and each alone, with the same rates and epochs.

    python -m benchmarks atis --model FOLDER --data atis_snips/atis [--seeds 1] [--epochs 10]

A line for each of the three: intent accuracy and entity F1 of the slots on the dev set (points), mean and spread over
the seeds. Labels that the training set lacks count as wrong. The scores are those of the last weights, so no evaluation
has picked them.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Mapping
from typing import Any

import torch

from benchmarks.measure import emit
from plm.runs import RunConfig, TaskData, train
from plm.tasks import Classification, Tagging
from plm.training import TrainingConfig

JUDGED = {"intent": "accuracy", "slots": "entity_f1"}


def main() -> None:
    """Train and print."""
    options = _options()
    torch.set_num_threads(options.threads)
    files = {"train": f"{options.data}/train", "dev": f"{options.data}/dev"}
    common: dict[str, Any] = {"max_length": 64, "batch_size": options.batch_size, "bucket_batches": 32, **files}
    intent = TaskData(task=Classification(unknown_labels="miss"), **common)
    slots = TaskData(task=Tagging(unknown_tags="miss"), **common)
    for name, tasks in {
        "both": {"intent": intent, "slots": slots},
        "intent": {"intent": intent},
        "slots": {"slots": slots},
    }.items():
        runs = [_scores(tasks, options, int(seed)) for seed in options.seeds.split(",")]
        emit("atis", tasks=name, seeds=options.seeds, epochs=options.epochs, **_summary(runs))


def _scores(tasks: Mapping[str, TaskData], options: argparse.Namespace, seed: int) -> dict[str, float]:
    """Points by task."""
    training = TrainingConfig(
        learning_rate=options.learning_rate,
        learning_rates={"heads.*": options.head_learning_rate},
        num_train_epochs=options.epochs,
        warmup_ratio=0.1,
        eval_strategy="no",
        keep=(),
        seed=seed,
    )
    with tempfile.TemporaryDirectory() as folder:
        config = RunConfig(model=options.model, output_dir=f"{folder}/run", tasks=tasks, log_to=(), training=training)
        metrics = train(config).metrics
    return {name: 100 * metrics[f"{name}/{JUDGED[name]}"] for name in tasks}


def _summary(runs: list[dict[str, float]]) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for name in runs[0]:
        values = [run[name] for run in runs]
        told[f"{name}_{JUDGED[name]}"] = round(statistics.fmean(values), 2)
        if len(values) > 1:
            told[f"{name}_spread"] = round(statistics.stdev(values), 2)
    return told


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a checkpoint of any known layout")
    parser.add_argument("--data", required=True, help="a folder with train/ and dev/, each with seq.in, seq.out, label")
    parser.add_argument("--seeds", default="1")
    parser.add_argument("--epochs", type=float, default=10.0)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=2e-4)
    parser.add_argument("--head-learning-rate", type=float, default=1e-3)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    main()
