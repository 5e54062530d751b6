"""Teacher and student of a distillation, opened and checked against each other."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from plm.auto.model import PretrainedModel
from plm.auto.models import AutoConfig
from plm.auto.tokenizer import AutoTokenizer
from plm.checkpoints.hub import resolve
from plm.checkpoints.store import open_checkpoint
from plm.distillation import Teacher, add_projection, check_deterministic, check_vocabulary, drop_projection
from plm.distillation.projection import HEAD as PROJECTION
from plm.errors import CheckpointError, ConfigError
from plm.models.config import ModelConfig
from plm.models.tinybert import TinyBertConfig
from plm.runs.architectures import architecture_file
from plm.runs.distilling.identity import config_digest, weights_digest
from plm.runs.preparation import auto_with
from plm.tokenizers import Tokenizer


@dataclass(frozen=True)
class Opened:
    """A teacher with its tokenizer. digest: of its weights and config."""

    name: str
    model: PretrainedModel
    tokenizer: Tokenizer
    digest: str

    @classmethod
    def teacher(cls, name: str, *, head: str | None, device: str) -> Opened:
        """A checkpoint. head: name in HEADS of the one that is to be imitated; None = the backbone alone.

        Raises CheckpointError where that head is not stored, ConfigError for a model whose answers are random.
        """
        tokenizer = AutoTokenizer.from_pretrained(name)
        model = auto_with(*([] if head is None else [head])).from_pretrained(name, device=device)
        assert model.loaded is not None, "made by from_pretrained"
        if lost := [each for each in (*model.loaded.missing, *model.loaded.mismatched) if each.startswith("heads.")]:
            raise CheckpointError(
                f"teacher: {name}: was not trained for this task: it lacks {', '.join(lost[:3])}; fine-tune it first "
                "with plm train"
            )
        ids = torch.arange(min(8, len(tokenizer)), device=device)[None]
        check_deterministic(Teacher(model), {"input_ids": ids})
        return cls(name, model, tokenizer, weights_digest(model))


@dataclass(frozen=True)
class Student:
    """How the student comes to be, stage after stage.

    source: the config file of an architecture, or a checkpoint. seed: of what is drawn. teacher_config, tokenizer: of
    the teacher.
    """

    source: str
    seed: int
    device: str
    teacher_config: ModelConfig
    tokenizer: Tokenizer

    @property
    def is_architecture(self) -> bool:
        """True = it starts from random weights."""
        return self.source.endswith(".json")

    def config(self) -> ModelConfig:
        """Of the student as it starts."""
        if not self.is_architecture:
            config = open_checkpoint(resolve(self.source)).config
            if config.vocab_size < len(self.tokenizer):
                raise ConfigError(
                    f"student: {self.source}: has {config.vocab_size} words, the teacher's tokenizer "
                    f"{len(self.tokenizer)}"
                )
            return config
        size, pad = self.teacher_config.vocab_size, self.tokenizer.pad_token_id
        return AutoConfig.from_pretrained(architecture_file(self.source), vocab_size=size, pad_token_id=pad)

    def own_tokenizer(self) -> Tokenizer:
        """The teacher's, which knows how long the student's texts may be; or that of the checkpoint, which is equal.

        Raises ConfigError for a checkpoint with another vocabulary.
        """
        tokenizer = copy.copy(self.tokenizer)
        if not self.is_architecture:
            tokenizer = AutoTokenizer.from_pretrained(self.source)
            check_vocabulary(tokenizer, self.tokenizer)
        limits = (self.tokenizer.model_max_length, self.teacher_config.longest_text, self.config().longest_text)
        tokenizer.model_max_length = min(limit for limit in limits if limit is not None)
        return tokenizer

    def begun(self) -> dict[str, str]:
        """What it starts from, as a record of a stage has it."""
        if self.is_architecture:
            return {"architecture": config_digest(self.config()), "seed": str(self.seed)}
        return {"checkpoint": weights_digest(self.open(None))}

    def open(
        self,
        folder: Path | None,
        *,
        head: str | None = None,
        options: Mapping[str, Any] | None = None,
        fit_size: int | None = None,
    ) -> PretrainedModel:
        """The student as a stage finds it.

        folder: of the stage before; None = it starts. head: name in HEADS; None = the backbone alone. options: fields
        of ModelConfig for it. fit_size: width that its states are projected to; None = no projection.
        A head or projection that the stage before did not leave is drawn from the seed.
        """
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            heads = [] if head is None else [head]
            if folder is None and self.is_architecture:
                config = dataclasses.replace(self.config(), **(options or {}))
                model = auto_with(*heads).from_config(config)
            else:
                source = self.source if folder is None else folder
                config = open_checkpoint(resolve(source)).config
                if isinstance(config, TinyBertConfig) and config.fit != "none":
                    heads.append(PROJECTION)
                model = auto_with(*heads).from_pretrained(source, **(options or {}))
            if fit_size is None or _width(model) not in (None, fit_size):
                drop_projection(model)
            if fit_size is not None:
                add_projection(model, fit_size)
        return model.to(self.device)


def keep_or_drop_projection(student: PretrainedModel) -> None:
    """Before a student is saved: only TinyBERT has names for its projection in files, as Huawei's releases have it."""
    if not isinstance(student.config, TinyBertConfig):
        drop_projection(student)


def _width(model: PretrainedModel) -> int | None:
    """What its projection leads to; None = it has none."""
    if PROJECTION not in model.heads:
        return None
    return next(len(part) for name, part in model.heads[PROJECTION].named_parameters() if name.endswith("weight"))
