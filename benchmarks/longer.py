"""Texts longer than those of pretraining: BERT, which learns positions, beside NEZHA, which computes distances.

    python -m benchmarks longer --corpus FOLDER --dev FOLDER [--model bert-tiny.json] [--updates 1500]
        [--max-length 128] [--lengths 128,256,512] [--seeds 1] [--threads 2]

Both are pretrained from scratch on masked words, with the same sizes, texts and masks, at one length, and judged on
held-out texts of several. A line for each model and length: loss in nats and accuracy, beside those of guessing by how
frequent words are. The corpora are folders that `plm prepare-corpus` wrote with one vocabulary.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch

from benchmarks.measure import emit
from plm.auto.models import AutoModelForMaskedLM
from plm.corpus.store import Corpus
from plm.runs import PretrainingConfig, pretrain
from plm.runs.held_out import count_tokens
from plm.runs.pretraining import held_out_evaluation
from plm.runs.pretraining_config import EvaluationOptions
from plm.runs.pretraining_model import architecture_file

FAMILIES: Mapping[str, Mapping[str, object]] = {
    "bert": {"model_type": "bert"},
    "nezha": {"model_type": "nezha", "max_relative_position": 64},
}
SHOWN = ("masked_lm_loss", "masked_lm_accuracy", "unigram_loss", "unigram_accuracy")


def main() -> None:
    """Pretrain and print."""
    options = _options()
    torch.set_num_threads(options.threads)
    lengths = [int(length) for length in options.lengths.split(",")]
    for family, fields in FAMILIES.items():
        runs = [_metrics(options, fields, int(seed), lengths) for seed in options.seeds.split(",")]
        for length in lengths:
            means = {name: round(statistics.fmean(run[length][name] for run in runs), 4) for name in SHOWN}
            emit(
                "longer",
                family=family,
                trained_at=options.max_length,
                judged_at=length,
                updates=options.updates,
                seeds=options.seeds,
                **means,
            )


def _metrics(
    options: argparse.Namespace, fields: Mapping[str, object], seed: int, lengths: list[int]
) -> dict[int, dict[str, float]]:
    """Those of every length."""
    sizes = json.loads(architecture_file(options.model).read_text())
    with tempfile.TemporaryDirectory() as folder:
        architecture = Path(folder) / "architecture.json"
        architecture.write_text(json.dumps({**sizes, **fields}))
        config = PretrainingConfig.from_dict(
            {
                "model": str(architecture),
                "output_dir": f"{folder}/run",
                "corpus": {"train": options.corpus, "dev": options.dev},
                "examples": {"kind": "texts"},
                "phases": [
                    {
                        "max_length": options.max_length,
                        "batch_size": options.batch_size,
                        "max_steps": options.updates,
                        "learning_rate": options.learning_rate,
                        "warmup_ratio": 0.1,
                    }
                ],
                "training": {"eval_strategy": "no", "keep": [], "seed": seed},
                "log_to": [],
            }
        )
        pretrain(config)
        model = AutoModelForMaskedLM.from_pretrained(f"{folder}/run")
        learned, dev = count_tokens(Corpus.open(options.corpus)), Corpus.open(options.dev)
        found = {}
        for length in lengths:
            judged = EvaluationOptions(max_length=length, batch_size=1, max_batches=options.dev_tokens // length)
            evaluate = held_out_evaluation(dataclasses.replace(config, evaluation=judged), dev, learned=learned)
            found[length] = evaluate(model)
        return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", required=True, help="to learn from")
    parser.add_argument("--dev", required=True, help="to judge by")
    parser.add_argument("--model", default="bert-tiny.json", help="a config file, or the name of one in plm.configs")
    parser.add_argument("--updates", type=int, default=1500)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--lengths", default="128,256,512")
    parser.add_argument("--dev-tokens", type=int, default=60_000, help="held-out tokens, about")
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--seeds", default="1")
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    main()
