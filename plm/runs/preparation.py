"""From a config to data that is read and checked, and to a model and tokenizer that fit it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from plm.auto.model import PretrainedModel
from plm.auto.models import AutoModel, AutoModelForTasks
from plm.auto.tokenizer import AutoTokenizer
from plm.checkpoints.hub import resolve
from plm.checkpoints.store import open_checkpoint
from plm.errors import ConfigError, did_you_mean
from plm.heads.several import HeadPlan, config_for, settle
from plm.models.init import initialize
from plm.runs.config import RunConfig, TaskData
from plm.tasks import AnyTask
from plm.tokenizers import Tokenizer


@dataclass(frozen=True)
class Split:
    """The examples of one file; source: that file."""

    source: str
    examples: Sequence[Any]


@dataclass(frozen=True)
class Prepared:
    """A task that knows its labels, and its examples, read and checked.

    splits: "train", and "dev" and "test" where the run has them.
    """

    task: AnyTask
    data: TaskData
    splits: Mapping[str, Split]

    @classmethod
    def read(cls, data: TaskData) -> Prepared:
        """Read all files of a task. Raises DataError naming file and line of whatever cannot be learned."""
        sources = {"train": data.train, "dev": data.dev, "test": data.test}
        splits = {name: Split(path, data.task.read(path)) for name, path in sources.items() if path is not None}
        task = data.task.learned(splits["train"].examples, source=data.train)
        for split in splits.values():
            task.check(split.examples, source=split.source)
        return cls(task, data, splits)


def starting_point(config: RunConfig, tasks: Mapping[str, AnyTask]) -> tuple[PretrainedModel, Tokenizer, list[str]]:
    """The model with a head for every task, its tokenizer with a pad token, and what people should know of both.

    tasks: those of the config, knowing their labels. A single task has its head under the name of its kind, as other
    libraries expect it; several have theirs under their own names.
    A head in the checkpoint is used when it has exactly these labels; otherwise it starts anew, as it does where there
    is none, drawn from the seed of the config.
    """
    tokenizer = AutoTokenizer.from_pretrained(config.model)
    added = {"pad_token": "<pad>"} if tokenizer.pad_token_id is None else {}  # GPT-1 was trained without
    for task in tasks.values():
        added |= task.special_tokens
    if added:
        tokenizer.add_special_tokens(added)
    with torch.random.fork_rng():
        torch.manual_seed(config.training.seed)
        model = _loaded(config, tasks, pad_token_id=tokenizer.pad_token_id)
        notes = [_renewed(model, head) for head in _foreign_heads(model, config.model)]
        if len(tokenizer) > model.config.vocab_size:
            model.resize_token_embeddings(len(tokenizer))
    return model, tokenizer, notes


def _loaded(config: RunConfig, tasks: Mapping[str, AnyTask], *, pad_token_id: int | None) -> PretrainedModel:
    device = config.device or ("cuda" if torch.cuda.is_available() else "cpu")
    if config.task is None:
        plans = {name: _plan(name, data.shared_head, tasks) for name, data in config.tasks.items()}
        return AutoModelForTasks.from_pretrained(config.model, heads=plans, device=device, pad_token_id=pad_token_id)
    (task,) = tasks.values()
    return auto_with(task.head).from_pretrained(
        config.model, device=device, pad_token_id=pad_token_id, **task.model_options()
    )


def _plan(name: str, shared: str | None, tasks: Mapping[str, AnyTask]) -> HeadPlan:
    """The head of one of several tasks. shared: the task whose head it uses, if any."""
    task = tasks[name]
    if shared is None:
        return HeadPlan(task.head, task.model_options())
    if shared not in tasks:
        raise ConfigError(f"tasks.{name}: shared_head: no task {shared!r}{did_you_mean(shared, tasks)}")
    theirs = tasks[shared]
    if (theirs.head, theirs.model_options()) != (task.head, task.model_options()):
        raise ConfigError(f"tasks.{name}: shared_head: {shared!r} has a head of another kind, or with other labels")
    return HeadPlan(shared_with=shared)


def auto_with(*names: str) -> type[AutoModel]:
    """The door to models with these heads, names in HEADS."""

    class AutoModelForTask(AutoModel):
        heads = names

    return AutoModelForTask


def _foreign_heads(model: PretrainedModel, name_or_path: str) -> list[str]:
    """Heads that were read from the checkpoint, where they have other labels than here."""
    assert model.loaded is not None, "made by from_pretrained"
    read = {name.split(".")[1] for name in model.loaded.loaded if name.startswith("heads.")}
    if not read:
        return []
    checkpoint = open_checkpoint(resolve(name_or_path))
    spoken, plans = settle(checkpoint.config, checkpoint.plans)
    configs = {name: config_for(spoken, plan) for name, plan in plans.items()}
    return [name for name in read if configs.get(name, spoken).labels != model.head_config(name).labels]


def _renewed(model: PretrainedModel, head: str) -> str:
    """Start a head anew, and say so."""
    initialize(model.heads[head], std=model.config.initializer_range)
    return f"the checkpoint holds a head for other labels; a new one was trained ({head})"
