"""From a config to data that is read and checked, and to a model and tokenizer that fit it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from plm.auto.model import PretrainedModel
from plm.auto.models import AutoConfig, AutoModel, AutoModelForTasks
from plm.auto.tokenizer import AutoTokenizer
from plm.checkpoints.hub import resolve
from plm.checkpoints.store import open_checkpoint
from plm.data.division import is_held_out
from plm.errors import ConfigError, DataError, did_you_mean
from plm.heads.several import HeadPlan, config_for, settle
from plm.models.init import initialize
from plm.runs.architectures import architecture_file
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
        if data.held_out is not None:
            splits |= _divided(splits["train"], data.task, data.held_out)
        task = data.task.learned(splits["train"].examples, source=data.train)
        for split in splits.values():
            task.check(split.examples, source=split.source)
        return cls(task, data, splits)


def _divided(split: Split, task: AnyTask, share: float) -> dict[str, Split]:
    """The examples of a file as train and dev. Raises DataError when there are none on one of the sides."""
    sides: dict[str, list[Any]] = {"train": [], "dev": []}
    for example in split.examples:
        identity = task.identity(example)
        if identity is None:
            raise ConfigError(f"held_out: {type(task).__name__} has no way to divide examples; give a dev file")
        sides["dev" if is_held_out(identity, share) else "train"].append(example)
    if empty := [name for name, examples in sides.items() if not examples]:
        raise DataError(f"{split.source}: held_out {share} of {len(split.examples)} leaves no example to {empty[0]}")
    return {name: Split(split.source, examples) for name, examples in sides.items()}


def starting_point(config: RunConfig, tasks: Mapping[str, AnyTask]) -> tuple[PretrainedModel, Tokenizer, list[str]]:
    """The model with a head for every task, its tokenizer with a pad token, and what people should know of both.

    The model is a checkpoint, or has random weights, drawn from the seed, where it is named by an architecture file;
    that is for a task with a vocabulary of its own. With such a task, a checkpoint keeps the rows of the tokens that it
    knows.

    tasks: those of the config, knowing their labels. A single task has its head under the name of its kind, as other
    libraries expect it; several have theirs under their own names.
    A head in the checkpoint is used when it has exactly these labels; otherwise it starts anew, as it does where there
    is none, drawn from the seed of the config.
    """
    is_new = config.model.endswith(".json")
    pretrained = None if is_new else AutoTokenizer.from_pretrained(config.model)
    tokenizer = _tokenizer(config, tasks, pretrained)
    added = {"pad_token": "<pad>"} if tokenizer.pad_token_id is None else {}  # GPT-1 was trained without
    for task in tasks.values():
        added |= task.special_tokens
    if added:
        tokenizer.add_special_tokens(added)
    with torch.random.fork_rng():
        torch.manual_seed(config.training.seed)
        model = _made(config, tasks, tokenizer) if is_new else _loaded(config, tasks, tokenizer)
        notes = [] if is_new else [_renewed(model, head) for head in _foreign_heads(model, config.model)]
        if pretrained is not None and tokenizer is not pretrained:
            notes.append(_refitted(model, pretrained, tokenizer))
        if (types := max(task.token_types for task in tasks.values())) > model.config.type_vocab_size:
            model.resize_token_types(types)
        if len(tokenizer) > model.config.vocab_size:
            model.resize_token_embeddings(len(tokenizer))
    return model, tokenizer, notes


def _tokenizer(config: RunConfig, tasks: Mapping[str, AnyTask], pretrained: Tokenizer | None) -> Tokenizer:
    """That of the checkpoint, or the one that a sole task has in place of it."""
    if config.task is None:
        tokenizer = pretrained
    else:
        (task,) = tasks.values()
        tokenizer = task.own_tokenizer(pretrained)
    if tokenizer is None:
        raise ConfigError(
            f"model: {config.model}: an architecture file means random weights, with which only a single task with a "
            "vocabulary of its own can start; name a checkpoint, or pretrain one: plm pretrain"
        )
    return tokenizer


def _made(config: RunConfig, tasks: Mapping[str, AnyTask], tokenizer: Tokenizer) -> PretrainedModel:
    """A model of random weights, of the size that an architecture file says."""
    (task,) = tasks.values()
    if config.lora is not None:
        raise ConfigError("lora: adapters to random weights learn nothing; name a checkpoint as model")
    architecture = AutoConfig.from_pretrained(
        architecture_file(config.model),
        vocab_size=len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        **task.model_options(),
    )
    if architecture.longest_text is not None:
        tokenizer.model_max_length = architecture.longest_text
    return auto_with(task.head).from_config(architecture).to(_device(config))


def _refitted(model: PretrainedModel, old: Tokenizer, new: Tokenizer) -> str:
    """Give a model the rows of another vocabulary, and say how many it had."""
    ids, others = old.get_vocab(), {new.special_tokens_map[role]: t for role, t in old.special_tokens_map.items()}
    tokens = sorted(new.get_vocab().items(), key=lambda item: item[1])
    rows = [ids.get(others.get(token, token)) for token, _ in tokens]
    before = model.config.vocab_size
    model.choose_token_embeddings(rows)
    model.config = dataclasses.replace(model.config, pad_token_id=new.pad_token_id)
    model.backbone.pad_token_id = new.pad_token_id
    known = sum(row is not None for row in rows)
    return f"of the {before:,} tokens of the checkpoint {known:,} are kept, and {len(rows) - known:,} are new"


def _device(config: RunConfig) -> str:
    return config.device or ("cuda" if torch.cuda.is_available() else "cpu")


def _loaded(config: RunConfig, tasks: Mapping[str, AnyTask], tokenizer: Tokenizer) -> PretrainedModel:
    device, pad_token_id = _device(config), tokenizer.pad_token_id
    if config.task is None:
        plans = {name: _plan(name, data.shared_head, tasks) for name, data in config.tasks.items()}
        return AutoModelForTasks.from_pretrained(config.model, heads=plans, device=device, pad_token_id=pad_token_id)
    (task,) = tasks.values()
    model: PretrainedModel = auto_with(task.head).from_pretrained(
        config.model, device=device, pad_token_id=pad_token_id, **task.model_options()
    )
    return model


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
