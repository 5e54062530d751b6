"""From a config to data that is read and checked, and to a model and tokenizer that fit it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from plm.auto.model import PretrainedModel
from plm.auto.models import AutoModel
from plm.auto.tokenizer import AutoTokenizer
from plm.checkpoints.hub import resolve
from plm.checkpoints.store import open_checkpoint
from plm.data import Batches, batches_by_count
from plm.errors import ConfigError
from plm.models.init import initialize
from plm.runs.config import RunConfig, TaskData
from plm.tasks import AnyTask
from plm.tokenizers import Tokenizer

# Tokens a text, where neither the caller nor the model sets a smaller limit: enough for sentences and their pairs.
USUAL_LENGTH = 128


@dataclass(frozen=True)
class Split:
    """The examples of one file; source: that file."""

    source: str
    examples: Sequence[Any]


@dataclass(frozen=True)
class Prepared:
    """A task that knows its labels, and its examples, read and checked. test: None where the run has none."""

    name: str
    task: AnyTask
    data: TaskData
    train: Split
    dev: Split
    test: Split | None

    @classmethod
    def read(cls, name: str, data: TaskData) -> Prepared:
        """Read all files of a task. Raises DataError naming file and line of whatever cannot be learned."""
        splits = [
            Split(source, data.task.read(source)) for source in (data.train, data.dev, data.test) if source is not None
        ]
        task = data.task.learned(splits[0].examples, source=splits[0].source)
        for split in splits:
            task.check(split.examples, source=split.source)
        return cls(name, task, data, splits[0], splits[1], splits[2] if data.test is not None else None)


@dataclass(frozen=True)
class Encoded:
    """A split as a model reads it. batches: of its features, shuffled where there is a seed."""

    examples: Sequence[Any]
    features: Sequence[Any]
    batches: Batches[Any]


def encode(prepared: Prepared, split: Split, tokenizer: Tokenizer, *, max_length: int, seed: int | None) -> Encoded:
    """Features and batches of similar lengths. seed: None = always in the same order."""
    task = prepared.task
    assert tokenizer.pad_token_id is not None, "starting_point adds one"
    features = task.encode(split.examples, tokenizer, max_length=max_length, source=split.source)
    lengths = [task.length(feature) for feature in features]
    batches = Batches(
        features,
        plan=lambda epoch: batches_by_count(lengths, batch_size=prepared.data.batch_size, seed=seed, epoch=epoch),
        collate=partial(task.collate, pad_token_id=tokenizer.pad_token_id),
    )
    return Encoded(split.examples, features, batches)


def starting_point(config: RunConfig, task: AnyTask) -> tuple[PretrainedModel, Tokenizer, list[str]]:
    """The model with a head for the task, its tokenizer with a pad token, and what people should know of both.

    A head in the checkpoint is used when it has exactly these labels; otherwise it starts anew, as it does where there
    is none, drawn from the seed of the config.
    """
    tokenizer = AutoTokenizer.from_pretrained(config.model)
    if tokenizer.pad_token_id is None:  # GPT-1 was trained without
        tokenizer.add_special_tokens({"pad_token": "<pad>"})
    notes = []
    with torch.random.fork_rng():
        torch.manual_seed(config.training.seed)
        model = _with_head(task.head).from_pretrained(
            config.model,
            device=config.device or ("cuda" if torch.cuda.is_available() else "cpu"),
            pad_token_id=tokenizer.pad_token_id,
            **task.model_options(),
        )
        if _has_other_labels(model, config, task):
            initialize(model.heads, std=model.config.initializer_range)
            notes.append("the checkpoint holds a head for other labels; a new one was trained")
        if len(tokenizer) > model.config.vocab_size:
            model.resize_token_embeddings(len(tokenizer))
    return model, tokenizer, notes


def text_length(wanted: int | None, model: PretrainedModel, tokenizer: Tokenizer) -> int:
    """Tokens to cut texts to. Models with relative positions set no limit of their own."""
    most = tokenizer.model_max_length
    if model.config.longest_text is not None:
        most = min(most, model.config.longest_text)
    if wanted is not None and wanted > most:
        raise ConfigError(f"max_length: {wanted} is more than the {most} tokens that the model takes")
    return wanted or min(USUAL_LENGTH, most)


def _with_head(head: str) -> type[AutoModel]:
    """The door to models with this head."""

    class AutoModelForTask(AutoModel):
        heads = (head,)

    return AutoModelForTask


def _has_other_labels(model: PretrainedModel, config: RunConfig, task: AnyTask) -> bool:
    """True when the head was read from the checkpoint and its labels are not those of the task."""
    assert model.loaded is not None, "made by from_pretrained"
    if not any(name.startswith(f"heads.{task.head}.") for name in model.loaded.loaded):
        return False
    return open_checkpoint(resolve(config.model)).config.labels != model.config.labels
