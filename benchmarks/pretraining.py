"""Pretraining BERT with plm's Trainer and with transformers': same weights, pairs, masks and batches, side by side.

    python -m benchmarks pretraining --corpus FOLDER [--model bert-small.json] [--updates 40] [--batch-size 16]
        [--max-length 128] [--dropout 0] [--precision bf16] [--peer-precision fp32] [--seeds 1,2,3] [--threads 2]

A line: real tokens a second on both sides, their ratio by the wall and in CPU seconds, how far the loss curves are
apart (nats), and the share of padding. plm draws masks while it trains; transformers gets them ready made, so its own
collator, which is slower, is not in the comparison (see benchmarks.instances). The corpus is one that
`plm prepare-corpus` wrote. Needs transformers and accelerate.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from benchmarks.measure import emit
from benchmarks.sides import (
    WARM_UP,
    Clock,
    Outcome,
    Timer,
    curve_distance,
    in_turn,
    peer_arguments,
    peer_trainer,
    speed_ratio,
)
from plm.auto.models import AutoConfig, AutoModelForPreTraining
from plm.corpus.batches import CorpusBatches
from plm.corpus.examples import PairExamples
from plm.corpus.store import Corpus
from plm.data import Batching, Masking
from plm.runs.objectives import MASKED_WORDS_AND_NEXT_SENTENCE
from plm.runs.pretraining_model import architecture_file
from plm.training import Trainer, TrainingConfig


def main() -> None:
    """Measure and print."""
    options = _options()
    torch.set_num_threads(options.threads)
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    contest = Contest(options)

    def theirs(seed: int) -> Outcome:
        with tempfile.TemporaryDirectory() as folder:
            contest.start(seed).save_pretrained(folder)
            return contest.train_peer(Path(folder), seed)

    outcomes = in_turn(
        [int(seed) for seed in options.seeds.split(",")], {"plm": contest.train_plm, "transformers": theirs}
    )
    emit(
        "pretraining",
        **{name: getattr(options, name) for name in ("model", "updates", "batch_size", "max_length", "seeds")},
        dropout=options.dropout,
        precision=options.precision,
        peer_precision=options.peer_precision or options.precision,
        padding_share=round(contest.padding_share, 3),
        **{name: _summary(runs) for name, runs in outcomes.items()},
        speed_ratio=speed_ratio(outcomes, "seconds"),
        cpu_ratio=speed_ratio(outcomes, "cpu_seconds"),
        curve_distance=round(curve_distance(outcomes["plm"], outcomes["transformers"], parts=5), 5),
    )


class Contest:
    """The same pretraining for both sides."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.corpus = Corpus.open(options.corpus)

    @cached_property
    def batches(self) -> CorpusBatches:
        """Of both sides."""
        examples = PairExamples(self.corpus, max_length=self.options.max_length, masking=Masking(), seed=1)
        return CorpusBatches(examples, batching=Batching(batch_size=self.options.batch_size), seed=1)

    @cached_property
    def made(self) -> list[dict[str, torch.Tensor]]:
        """The batches of a run."""
        epoch = self.batches.epoch(0)
        return [epoch[number] for number in range(self.options.updates)]

    @property
    def padding_share(self) -> float:
        """Of the positions of the run."""
        masks = [batch["attention_mask"] for batch in self.made]
        return 1.0 - sum(int(mask.sum()) for mask in masks) / sum(mask.numel() for mask in masks)

    def start(self, seed: int) -> Any:
        """A model drawn from the seed."""
        dropout = {} if self.options.dropout is None else dict.fromkeys(DROPOUTS, self.options.dropout)
        config = AutoConfig.from_pretrained(
            architecture_file(self.options.model), vocab_size=len(self.corpus.tokenizer), **dropout
        )
        return AutoModelForPreTraining.from_config(config, generator=torch.Generator().manual_seed(seed))

    def train_plm(self, seed: int) -> Outcome:
        """With plm.training.Trainer; masks are drawn while it trains."""
        clock = Clock()
        report = Trainer(
            self.start(seed),
            self._config(seed),
            batches=self.batches,
            step=MASKED_WORDS_AND_NEXT_SENTENCE.step,
            callbacks=[Timer(clock)],
        ).train()
        return self._outcome(clock, [record.values["loss"] for record in report.history if record.kind == "train"])

    def train_peer(self, folder: Path, seed: int) -> Outcome:
        """With transformers.Trainer, from weights that plm has saved; it computes the logits of every position."""
        import transformers

        clock = Clock()
        config = self._config(seed, precision=self.options.peer_precision)
        model = transformers.BertForPreTraining.from_pretrained(folder)
        rows = [row for batch in self.made for row in _rows(batch)]
        with tempfile.TemporaryDirectory() as output_dir:
            trainer, losses = peer_trainer(
                model=model,
                args=peer_arguments(config, output_dir, batch_size=self.options.batch_size),
                rows=rows,
                order=range(len(rows)),
                collator=transformers.DataCollatorForTokenClassification(
                    transformers.AutoTokenizer.from_pretrained(self.corpus.folder / "tokenizer")
                ),
                clock=clock,
            )
            trainer.train()
        return self._outcome(clock, losses)

    def _config(self, seed: int, *, precision: str | None = None) -> TrainingConfig:
        config = TrainingConfig(
            learning_rate=self.options.learning_rate,
            max_steps=self.options.updates,
            precision=self.options.precision,
            eval_strategy="no",
            log_every=1,
            seed=seed,
        )
        return config if precision is None else dataclasses.replace(config, precision=precision)

    def _outcome(self, clock: Clock, losses: Sequence[float]) -> Outcome:
        seconds, cpu_seconds = clock.spent()
        return Outcome(
            metric="loss",
            score=losses[-1],
            losses=losses,
            seconds=seconds,
            cpu_seconds=cpu_seconds,
            examples=sum(int(batch["attention_mask"].sum()) for batch in self.made[WARM_UP:]),
        )


DROPOUTS = ("hidden_dropout_prob", "attention_probs_dropout_prob")


def _rows(batch: Mapping[str, torch.Tensor]) -> Iterator[dict[str, Any]]:
    """The examples of a batch as transformers' collators take them: each without padding, lists of numbers."""
    for place, length in enumerate(batch["attention_mask"].sum(1).tolist()):
        rows = {name: tensor[place] for name, tensor in batch.items() if name != "index"}
        yield {name: row[:length].tolist() if row.dim() else int(row) for name, row in rows.items()}


def _summary(runs: Sequence[Outcome]) -> dict[str, float]:
    return {
        "tokens_per_second": round(max(run.examples / run.seconds for run in runs), 1),
        "tokens_per_cpu_second": round(max(run.examples / run.cpu_seconds for run in runs), 1),
        "last_loss": round(sum(run.score for run in runs) / len(runs), 4),
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", required=True, help="a folder that plm prepare-corpus wrote")
    parser.add_argument("--model", default="bert-small.json", help="a config file, or the name of one in plm.configs")
    parser.add_argument("--updates", type=int, default=40)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--learning-rate", type=float, default=2e-4)
    parser.add_argument("--dropout", type=float, help="of both sides, instead of the model's")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--peer-precision", choices=("fp32", "bf16"), help="as --precision unless given")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    main()
