"""What is pretrained, on which text, in which phases: one table that a recipe file can hold."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from plm.config import from_dict, require_positive
from plm.data import Batching
from plm.errors import ConfigError
from plm.runs.config import LogKind, read_tables
from plm.runs.divergence import Watch
from plm.runs.example_options import ExampleOptions, examples_from_dict, examples_to_dict
from plm.training import Phase, TrainingConfig

FROM_PHASES = (
    "learning_rate",
    "num_train_epochs",
    "max_steps",
    "warmup_ratio",
    "warmup_steps",
    "lr_scheduler",
    "lr_scheduler_kwargs",
    "lr_phases",
)
"""Settings of a training that the phases say."""

FOR_CLASSES = ("label_smoothing", "focal_gamma", "class_weights")
"""Settings of a training that are for heads that decide between classes."""


@dataclass(frozen=True, kw_only=True)
class CorpusFolders:
    """Folders that `plm prepare-corpus` wrote; for examples of kind "records" TFRecord files, folders or patterns.

    dev: held-out text to evaluate on; None = no evaluations.
    """

    train: str
    dev: str | None = None


@dataclass(frozen=True, kw_only=True)
class PretrainingPhase:
    """One of the phases that follow each other; in a recipe one flat table, with the fields of `schedule` in it.

    schedule: how many updates, and their learning rates.
    max_length: tokens of an example, special ones included. batch_size: examples in a batch.
    tokens_per_batch: positions in a batch, in place of batch_size.
    gradient_accumulation_steps: batches of an update; None = as `training` says.
    """

    schedule: Phase
    max_length: int = 128
    batch_size: int = 32
    tokens_per_batch: int | None = None
    gradient_accumulation_steps: int | None = None

    def __post_init__(self) -> None:
        require_positive(self, "max_length", "batch_size")
        for name in ("tokens_per_batch", "gradient_accumulation_steps"):
            if getattr(self, name) is not None:
                require_positive(self, name)

    @property
    def batching(self) -> Batching:
        """How examples become batches."""
        return Batching(batch_size=self.batch_size, tokens_per_batch=self.tokens_per_batch)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, source: str = "phase") -> PretrainingPhase:
        """From one flat table. Raises ConfigError naming the field that is missing, unknown or of a wrong type."""
        own = {name: value for name, value in values.items() if name in _OWN}
        schedule = {name: value for name, value in values.items() if name not in _OWN}
        return from_dict(cls, own | {"schedule": from_dict(Phase, schedule, source=source)}, source=source)

    def to_dict(self) -> dict[str, Any]:
        """The flat table that `from_dict` reads; what is None is left out."""
        own = {name: getattr(self, name) for name in sorted(_OWN)}
        return {
            **{name: value for name, value in own.items() if value is not None},
            **dataclasses.asdict(self.schedule),
        }


_OWN = {option.name for option in dataclasses.fields(PretrainingPhase)} - {"schedule"}


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions:
    """How held-out text is read; its examples and masks are always the same.

    max_length: tokens of an example; None = the shortest of the phases, which the model can read in all of them.
    batch_size: examples in a batch. max_batches: no more than so many of them, drawn once; None = all.
    """

    max_length: int | None = None
    batch_size: int = 32
    max_batches: int | None = None

    def __post_init__(self) -> None:
        require_positive(self, "batch_size")
        for name in ("max_length", "max_batches"):
            if getattr(self, name) is not None:
                require_positive(self, name)


@dataclass(frozen=True, kw_only=True)
class PretrainingConfig:
    """One pretraining, from scratch or from a checkpoint.

    model: the config file of an architecture, "small.json", for a start from scratch: a file, or one of those in
        plm.configs; its vocabulary is that of the corpus. Or a checkpoint of any known layout with the vocabulary of
        the corpus, to go on with.
    output_dir: the folder to write. corpus: what to read. examples: what is made of it.
    phases: one after the other in one run, each with its own lengths, batches and learning rates. The optimizer keeps
        its running means from one to the next.
    evaluation: of the dev corpus. watch: what counts as a loss that is lost.
    device: None = the GPU if there is one. log_to: as in a RunConfig.
    training: everything else. An "epoch", there, is a phase: after each an evaluation comes, unless it says otherwise.
    """

    model: str
    output_dir: str
    corpus: CorpusFolders
    examples: ExampleOptions
    phases: tuple[PretrainingPhase, ...]
    evaluation: EvaluationOptions = field(default_factory=EvaluationOptions)
    watch: Watch = field(default_factory=Watch)
    device: str | None = None
    log_to: tuple[LogKind, ...] = ("jsonl", "curve")
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def __post_init__(self) -> None:
        for name in ("model", "output_dir"):
            if not getattr(self, name).strip():
                raise ConfigError(f"{name}: expected a name, got {getattr(self, name)!r}")
        if not self.phases:
            raise ConfigError("phases: expected one at least, [[phases]] in a recipe")
        changed = [
            option.name
            for option in dataclasses.fields(TrainingConfig)
            if getattr(self.training, option.name) != getattr(TrainingConfig(), option.name)
        ]
        _refuse_foreign(changed, source="training")

    @property
    def training_options(self) -> TrainingConfig:
        """`training` with the updates and learning rates of the phases."""
        schedules = tuple(phase.schedule for phase in self.phases)
        return dataclasses.replace(
            self.training,
            lr_phases=schedules,
            max_steps=sum(phase.max_steps for phase in schedules),
            learning_rate=max(phase.learning_rate for phase in schedules),
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, source: str = "config") -> PretrainingConfig:
        """From nested tables, as in a recipe file: [corpus], [examples], [[phases]], [evaluation], [watch], [training].

        Raises ConfigError naming the field that is missing, unknown or of a wrong type.
        """
        values = {name: value for name, value in values.items() if value is not None}
        if isinstance(values.get("training"), Mapping):
            _refuse_foreign(list(values["training"]), source=f"{source}: training")
            values["training"] = TrainingConfig.from_dict(values["training"], source=f"{source}: training")
        if isinstance(values.get("examples"), Mapping):
            values["examples"] = examples_from_dict(values["examples"], source=f"{source}: examples")
        phases = values.get("phases", [])
        if not isinstance(phases, list) or not all(isinstance(phase, Mapping) for phase in phases):
            raise ConfigError(f"{source}: phases: expected tables, each under [[phases]], got {phases!r:.60}")
        values["phases"] = [
            PretrainingPhase.from_dict(phase, source=f"{source}: phases.{number}")
            for number, phase in enumerate(phases)
        ]
        return from_dict(cls, values, source=source)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values that `from_dict` reads back to an equal config."""
        values = {option.name: getattr(self, option.name) for option in dataclasses.fields(self)}
        values["examples"] = examples_to_dict(self.examples)
        values["phases"] = [phase.to_dict() for phase in self.phases]
        for name in ("corpus", "evaluation", "watch", "training"):
            values[name] = dataclasses.asdict(values[name])
        for name in (*FROM_PHASES, *FOR_CLASSES):
            del values["training"][name]
        plain: dict[str, Any] = json.loads(json.dumps(values))
        return plain


def read_pretraining(path: Path | str, settings: Mapping[str, Any] | None = None) -> PretrainingConfig:
    """The pretraining of a TOML or JSON file.

    settings: values by dotted name ("training.precision", "phases.0.max_steps", counted from 0) that win over the file.
    """
    return PretrainingConfig.from_dict(read_tables(path, settings), source=str(path))


def _refuse_foreign(names: list[str], *, source: str) -> None:
    """Raise ConfigError for the first setting that a pretraining has elsewhere, or not at all."""
    for name in names:
        if name in FROM_PHASES:
            raise ConfigError(f"{source}: {name!r} is said by each of the phases: move it there, or leave it out")
        if name in FOR_CLASSES:
            raise ConfigError(f"{source}: {name!r} is for heads that decide between classes; leave it out")
