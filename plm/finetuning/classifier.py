"""The fine-tuning itself: data, labels, tokenizer, model, trainer and files put together."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from plm.auto.model import PretrainedModel
from plm.auto.models import AutoModelForSequenceClassification
from plm.auto.tokenizer import AutoTokenizer
from plm.checkpoints.hub import resolve
from plm.checkpoints.store import open_checkpoint
from plm.config import to_dict, write_json, write_text
from plm.data import (
    Batches,
    Example,
    Feature,
    LabelSet,
    batches_by_count,
    collect_labels,
    encode_examples,
    pad_batch,
    read_examples,
)
from plm.errors import ConfigError, DataError, TrainingError, optional_import
from plm.finetuning.config import FinetuneConfig
from plm.finetuning.report import FinetuneReport, predictions_table
from plm.metrics import DEFAULT_METRICS, compute_metrics, decide
from plm.models.init import initialize
from plm.tokenizers import Tokenizer
from plm.training import (
    Callback,
    CurvePlot,
    Evaluation,
    JsonLines,
    ProgressBar,
    Record,
    Run,
    Trainer,
    predict,
)

# Tokens a text, where neither the caller nor the model sets a smaller limit: enough for sentences and their pairs.
USUAL_LENGTH = 128

HEAD = "heads.sequence_classification."


def finetune_classifier(
    config: FinetuneConfig, *, overwrite: bool = False, callbacks: Sequence[Callback] = ()
) -> FinetuneReport:
    """Train a classifier, or a regressor, and write everything about it into `config.output_dir`.

    That folder gets the model with its best weights (from the first evaluation on, so that a crash loses little), its
    labels and tokenizer; metrics.json; train_log.jsonl; curve.png where matplotlib is installed;
    dev_predictions.tsv; and finetune.json, this config.
    overwrite: True = the folder may hold files already; those of the same names are replaced.
    callbacks: told besides the progress bar and the log.
    Ctrl-C ends the training after the current update, and what was learned is written; `training.stopped` says so.
    Raises DataError naming file and line of a label that is missing, unknown or not a number, before anything is
    trained or written; ConfigError, CheckpointError and TokenizerError for what cannot be used.
    """
    folder = _checked_folder(Path(config.output_dir), overwrite)
    optional_import("torchmetrics", extra="metrics", purpose="the evaluation of a fine-tuning")
    train, dev = _examples(config, config.train_file), _examples(config, config.dev_file)
    labels = _labels(config, train, dev)
    model, tokenizer, notes = starting_point(config, labels)
    encode = partial(encode_examples, tokenizer=tokenizer, labels=labels, max_length=_length(config, model, tokenizer))
    train_batches = _batches(encode(train, source=config.train_file), config, tokenizer, seed=config.training.seed)
    dev_batches = _batches(encode(dev, source=config.dev_file), config, tokenizer, seed=None).epoch(0)

    folder.mkdir(parents=True, exist_ok=True)
    save = partial(_save, model, tokenizer, folder)
    training = Trainer(
        model,
        config.training,
        batches=train_batches,
        evaluate=Evaluation(dev_batches, config.problem_type, config.metrics, config.training.precision),
        callbacks=[ProgressBar(), SaveBest(save), *_records(folder), *callbacks],
    ).train()
    save()
    logits, targets = predict(model, dev_batches, precision=config.training.precision)
    report = FinetuneReport(
        output_dir=folder,
        labels=model.config.labels,
        metrics=_metrics(config, logits, targets),
        training=training,
        parameters=model.num_parameters(),
        notes=tuple(notes),
    )
    write_text(folder / "dev_predictions.tsv", predictions_table(dev, logits, config.problem_type, report.labels))
    write_json(folder / "finetune.json", to_dict(config))
    write_json(folder / "metrics.json", report.to_dict())
    return report


def starting_point(config: FinetuneConfig, labels: LabelSet) -> tuple[PretrainedModel, Tokenizer, list[str]]:
    """The model with a classifier for `labels`, its tokenizer with a pad token, and what people should know of both.

    A classifier in the checkpoint is used when it has exactly these labels; otherwise it starts anew, as it does where
    there is none, drawn from the seed of the config.
    """
    tokenizer = AutoTokenizer.from_pretrained(config.model)
    if tokenizer.pad_token_id is None:  # GPT-1 was trained without
        tokenizer.add_special_tokens({"pad_token": "<pad>"})
    names = labels.names or (config.label if isinstance(config.label, str) else "score",)
    notes = []
    with torch.random.fork_rng():
        torch.manual_seed(config.training.seed)
        model = AutoModelForSequenceClassification.from_pretrained(
            config.model,
            device=config.device or ("cuda" if torch.cuda.is_available() else "cpu"),
            id2label=dict(enumerate(names)),
            problem_type=config.problem_type,
            pad_token_id=tokenizer.pad_token_id,
        )
        if _has_other_labels(model, config, names):
            initialize(model.heads, std=model.config.initializer_range)
            notes.append("the checkpoint holds a classifier for other labels; a new one was trained")
        if len(tokenizer) > model.config.vocab_size:
            model.resize_token_embeddings(len(tokenizer))
    return model, tokenizer, notes


class SaveBest(Callback):
    """Calls `save` whenever an evaluation finds the weights better than before."""

    def __init__(self, save: Callable[[], None]) -> None:
        self.save = save

    def on_evaluate(self, run: Run, record: Record) -> None:
        """Save if this was the best."""
        if run.best_update == run.update:
            self.save()


def _checked_folder(folder: Path, overwrite: bool) -> Path:
    if folder.exists() and not folder.is_dir():
        raise TrainingError(f"{folder}: is a file; name a folder for the results")
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise TrainingError(f"{folder}: holds files already; name a new folder, or overwrite (overwrite=True)")
    return folder


def _examples(config: FinetuneConfig, path: str) -> list[Example]:
    return read_examples(path, config.columns, format=config.format, header=config.header)


def _labels(config: FinetuneConfig, train: Sequence[Example], dev: Sequence[Example]) -> LabelSet:
    """The classes of the training file, sorted; every label of both files is checked against them."""
    names: tuple[str, ...] = ()
    if config.problem_type != "regression":
        names = collect_labels(train, source=config.train_file)
        if len(names) < 2:
            listed = ", ".join(map(repr, names)) or "none"
            raise DataError(f"{config.train_file}: expected several classes to tell apart, got {listed}")
    labels = LabelSet(names, config.problem_type)
    labels.encode(train, source=config.train_file)
    labels.encode(dev, source=config.dev_file)
    return labels


def _has_other_labels(model: PretrainedModel, config: FinetuneConfig, names: Sequence[str]) -> bool:
    """True when the classifier was read from the checkpoint and its classes are not `names`."""
    assert model.loaded is not None, "made by from_pretrained"
    if not any(name.startswith(HEAD) for name in model.loaded.loaded):
        return False
    return open_checkpoint(resolve(config.model)).config.labels != tuple(names)


def _length(config: FinetuneConfig, model: PretrainedModel, tokenizer: Tokenizer) -> int:
    """Tokens to cut texts to. Models with relative positions set no limit of their own."""
    most = tokenizer.model_max_length
    if model.config.longest_text is not None:
        most = min(most, model.config.longest_text)
    if config.max_length is not None and config.max_length > most:
        raise ConfigError(f"max_length: {config.max_length} is more than the {most} tokens that the model takes")
    return config.max_length or min(USUAL_LENGTH, most)


def _batches(
    features: Sequence[Feature], config: FinetuneConfig, tokenizer: Tokenizer, *, seed: int | None
) -> Batches[Feature]:
    """Features as batches of similar lengths. seed: None = always in the same order."""
    assert tokenizer.pad_token_id is not None, "starting_point adds one"
    lengths = [len(feature.input_ids) for feature in features]
    return Batches(
        features,
        plan=lambda epoch: batches_by_count(lengths, batch_size=config.batch_size, seed=seed, epoch=epoch),
        collate=partial(pad_batch, pad_token_id=tokenizer.pad_token_id),
    )


def _metrics(config: FinetuneConfig, logits: Tensor, targets: Tensor | None) -> dict[str, float]:
    assert targets is not None, "dev features are made with labels"
    names = config.metrics or DEFAULT_METRICS[config.problem_type]
    return compute_metrics(names, decide(logits.numpy(), config.problem_type), targets.numpy())


def _records(folder: Path) -> list[Callback]:
    """What is written while training."""
    curves = [CurvePlot(folder / "curve.png")] if importlib.util.find_spec("matplotlib") else []
    return [JsonLines(folder / "train_log.jsonl"), *curves]


def _save(model: PretrainedModel, tokenizer: Tokenizer, folder: Path) -> None:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
