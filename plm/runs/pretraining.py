"""Pretraining: corpus, model, phases and files put together for the one Trainer.

    report = pretrain(read_pretraining("small.toml"))
    print(*report.lines(), sep="\n")

`plm pretrain` does the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from plm.auto.model import PretrainedModel
from plm.corpus.batches import CorpusBatches
from plm.data import Batching
from plm.errors import ConfigError
from plm.runs.config import ONLY
from plm.runs.divergence import LossWatch
from plm.runs.example_options import Source
from plm.runs.folders import make_folder, require_free
from plm.runs.held_out import Counts, HeldOut, PretrainingEvaluation, Unigram, count_targets, count_tokens, entropy
from plm.runs.phases import PhaseBatches
from plm.runs.pretraining_config import PretrainingConfig
from plm.runs.pretraining_model import require_same_vocabulary, starting_model
from plm.runs.report import RunReport
from plm.runs.run import run_records, write_account
from plm.tokenizers import Tokenizer
from plm.training import Callback, ProgressBar, Trainer
from plm.training.distributed import join

# Held-out text is read with a seed of its own: whatever the seed of a run, it is judged by the same examples and masks.
_HELD_OUT_SEED = 0


def pretrain(config: PretrainingConfig, *, overwrite: bool = False, callbacks: Sequence[Callback] = ()) -> RunReport:
    """Train what the config says, and write everything about it into `config.output_dir`.

    That folder gets the model with its best weights, and the tokenizer of the corpus; metrics.json; report.md;
    train_log.jsonl, and whatever else config.log_to names; and run.json, this config. While it trains, "best" and
    "last" hold model and tokenizer of the best and the last evaluation; "last" stays.
    overwrite: True = the folder may hold files already; those of the same names are replaced.
    callbacks: told besides the progress bar, the log, and the watch over the loss.
    Ctrl-C, SIGTERM, checkpoints and several processes are as in `train`. A run whose loss is lost ends as "diverged".
    Raises DataError for a corpus that cannot be used; ConfigError for a model that does not fit it; TrainingError for a
    folder that cannot be written, or holds what would be lost.
    """
    processes = join()
    folder = Path(config.output_dir)
    processes.by_main(lambda: require_free(folder, overwrite=overwrite, resume=config.training.resume))
    run = _Ready.to_pretrain(config)
    if processes.is_main:
        make_folder(folder)
    training = Trainer(
        run.model,
        config.training_options,
        batches=run.batches,
        step=config.examples.objective.step,
        evaluate=run.evaluate,
        save=run.save,
        output_dir=folder,
        callbacks=[ProgressBar(), run.watch, *run.records, *callbacks],
        processes=processes,
    ).train()
    # Whoever sends SIGTERM takes the machine away soon.
    is_judged = training.stopped != "terminated"
    scores = {"dev": {ONLY: run.evaluate(run.model)}} if is_judged and run.evaluate is not None else {}
    report = RunReport(
        output_dir=folder,
        scores=scores,
        training=training,
        parameters=run.model.num_parameters(),
        notes=(*run.notes, *run.watch.notes),
    )
    if processes.is_main:
        run.save(folder)
        write_account(report, config.to_dict(), has_best=config.training.load_best)
    processes.barrier()
    return report


@dataclass(frozen=True)
class _Ready:
    """What there is before the first update. notes: what people should know of it. records: of what happens."""

    model: PretrainedModel
    tokenizer: Tokenizer
    notes: Sequence[str]
    batches: PhaseBatches
    evaluate: PretrainingEvaluation | None
    watch: LossWatch
    records: Sequence[Callback]

    @classmethod
    def to_pretrain(cls, config: PretrainingConfig) -> _Ready:
        """Everything opened and checked; in the order in which it is cheap to find out what is wrong."""
        corpus = config.examples.open(config.corpus.train)
        dev = None if config.corpus.dev is None else config.examples.open(config.corpus.dev)
        if dev is not None:
            require_same_vocabulary(dev.tokenizer, corpus.tokenizer, source=f"corpus.dev: {config.corpus.dev}")
        objective = config.examples.objective
        model, tokenizer, notes = starting_model(config, corpus.tokenizer)
        _check_lengths(config, model)
        counts = count_tokens(corpus)
        evaluate = None if dev is None else held_out_evaluation(config, dev, learned=counts)
        if evaluate is not None:
            evaluate.require_metric(config.training.metric_for_best)
        watch = LossWatch(config.watch, name=objective.words, guessing=entropy(counts))
        flops = partial(objective.flops_per_token, model, config.examples.predicted_share)
        records = run_records(Path(config.output_dir), config.log_to, flops_per_token=flops)
        return cls(model, tokenizer, notes, _training(config, corpus), evaluate, watch, records)

    def save(self, target: Path) -> None:
        """Write what can be loaded later: model and tokenizer."""
        self.tokenizer.save_pretrained(target)
        self.model.save_pretrained(target)


def _training(config: PretrainingConfig, corpus: Source) -> PhaseBatches:
    """The batches of all phases."""
    seed, usual = config.training.seed, config.training.gradient_accumulation_steps
    phases = [
        CorpusBatches(
            config.examples.examples(corpus, max_length=phase.max_length, seed=seed), batching=phase.batching, seed=seed
        )
        for phase in config.phases
    ]
    own = [phase.gradient_accumulation_steps or usual for phase in config.phases]
    lengths = [phase.schedule.max_steps * count for phase, count in zip(config.phases, own, strict=True)]
    return PhaseBatches(phases, lengths, batches_per_update=[None if count == usual else count for count in own])


def held_out_evaluation(config: PretrainingConfig, dev: Source, *, learned: Counts) -> PretrainingEvaluation:
    """That of the dev corpus. learned: how often each token is in the training text."""
    options, objective = config.evaluation, config.examples.objective
    examples = config.examples.examples(dev, max_length=evaluation_length(config), seed=_HELD_OUT_SEED)
    batches = CorpusBatches(examples, batching=Batching(batch_size=options.batch_size), seed=_HELD_OUT_SEED)
    held_out = HeldOut(batches, most=options.max_batches)
    unigram = Unigram.of(learned, count_targets(held_out, objective, len(dev.tokenizer)))
    return PretrainingEvaluation(
        objective=objective, batches=held_out, unigram=unigram, precision=config.training.precision
    )


def evaluation_length(config: PretrainingConfig) -> int:
    """Tokens of the examples of an evaluation."""
    return config.evaluation.max_length or min(phase.max_length for phase in config.phases)


def _check_lengths(config: PretrainingConfig, model: PretrainedModel) -> None:
    most = model.config.longest_text
    wanted = max(evaluation_length(config), *(phase.max_length for phase in config.phases))
    if most is not None and wanted > most:
        raise ConfigError(f"max_length: {wanted} is more than the {most} tokens that the model takes")
