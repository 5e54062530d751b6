"""What a stage of a distillation does, and how; the defaults are TinyBERT's.

Source: Jiao et al. 2020, section 4.2; where the paper is silent, the README of the upstream code.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from plm.config import from_dict, require_positive, require_probability
from plm.data import Batching
from plm.distillation import INTERMEDIATE, PREDICTION, Objective
from plm.distillation.augmentation import Augmentation
from plm.errors import ConfigError
from plm.training import TrainingConfig
from plm.training.config import OTHER_NAMES

ELSEWHERE: Mapping[str, str] = {
    "seed": "is one for the whole distillation: set it on top",
    "resume": "a stage that was stopped always goes on; leave it out",
    "keep": "a stage leaves its model in its folder when it is finished; leave it out",
    "label_smoothing": "is for models that learn from labels alone; leave it out",
    "focal_gamma": "is for models that learn from labels alone; leave it out",
    "class_weights": "is for models that learn from labels alone; leave it out",
}
"""Settings of a training that no stage has, and why."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One training of the student; in a recipe one flat table, with the fields of `training` in it.

    objective: what is learned; in a recipe a table inside, of which what is not given is as by default.
    training: everything that a TrainingConfig says, but for ELSEWHERE.
    batch_size, tokens_per_batch, bucket_batches: as in plm.runs.TaskData.
    augmented: True = learn from the augmented file; None = where there is one, but predictions of numbers, as the
        paper does, from the file as it is.
    """

    objective: Objective
    training: TrainingConfig
    batch_size: int = 32
    tokens_per_batch: int | None = None
    bucket_batches: int = 1
    augmented: bool | None = None

    def __post_init__(self) -> None:
        require_positive(self, "batch_size", "bucket_batches")
        if self.tokens_per_batch is not None:
            require_positive(self, "tokens_per_batch")
        for name, why in ELSEWHERE.items():
            if getattr(self.training, name) != getattr(TrainingConfig(), name):
                raise ConfigError(f"{name}: {why}")

    @property
    def batching(self) -> Batching:
        """How examples become batches."""
        return Batching(
            batch_size=self.batch_size, tokens_per_batch=self.tokens_per_batch, bucket_batches=self.bucket_batches
        )

    def changed(self, values: Mapping[str, Any], *, source: str = "stage") -> Stage:
        """The same with the values of a flat table.

        Raises ConfigError naming the field that is unknown, of a wrong type, or not for stages.
        """
        own = {name: value for name, value in values.items() if name in _OWN}
        training = {name: value for name, value in values.items() if name not in _OWN}
        kept = {name: getattr(self, name) for name in _OWN}
        own["training"] = _changed_training(self.training, training, source=source)
        if not isinstance(own.get("objective", {}), Mapping):
            raise ConfigError(f"{source}: objective: expected a table, got {own['objective']!r:.60}")
        objective = dataclasses.asdict(self.objective) | dict(own.get("objective", {}))
        own["objective"] = from_dict(Objective, objective, source=f"{source}: objective")
        return from_dict(Stage, kept | own, source=source)

    def asked(self) -> dict[str, Any]:
        """What the student that comes of it depends on."""
        return {name: value for name, value in self.to_dict().items() if name not in _INDIFFERENT}

    def to_dict(self) -> dict[str, Any]:
        """A flat table that makes this stage of any other; what is None is left out, as it is by default."""
        own = {name: getattr(self, name) for name in sorted(_OWN)}
        own["objective"] = _present(dataclasses.asdict(self.objective))
        training = dataclasses.asdict(self.training)
        return _present(own) | {name: value for name, value in training.items() if name not in ELSEWHERE}


_OWN = {option.name for option in dataclasses.fields(Stage)} - {"training"}

# Settings that do not change what a finished stage has learned.
_INDIFFERENT = ("save_strategy", "save_steps", "keep_checkpoints", "batch_workers", "log_every", "augmented")


@dataclass(frozen=True, kw_only=True)
class General:
    """General distillation: the student learns from a pretrained encoder, on any text. In a recipe one flat table.

    corpus, dev: folders that `plm prepare-corpus` wrote with the teacher's vocabulary; dev: where losses are measured.
    teacher: a checkpoint; None = the backbone of the teacher of the task.
    examples: what is made of a corpus, without masked words: pairs or single texts; "stretches" for causal models.
    max_length: tokens of an example, special ones included. short_probability: share of shorter examples.
    stage: its training.
    """

    corpus: str
    stage: Stage
    dev: str | None = None
    teacher: str | None = None
    examples: Literal["pairs", "texts", "stretches"] = "pairs"
    max_length: int = 128
    short_probability: float = 0.1

    def __post_init__(self) -> None:
        require_positive(self, "max_length")
        require_probability(self, "short_probability")
        if self.stage.objective.prediction or self.stage.objective.labels:
            raise ConfigError("objective: a text without a task has no predictions and labels to learn")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, usual: Stage, source: str = "general") -> General:
        """From one flat table. usual: the stage of which it changes what it names."""
        own = {name: value for name, value in values.items() if name in _GENERAL}
        stage = {name: value for name, value in values.items() if name not in _GENERAL}
        return from_dict(cls, own | {"stage": usual.changed(stage, source=source)}, source=source)

    def to_dict(self) -> dict[str, Any]:
        """The flat table that `from_dict` reads; what is None is left out."""
        return _present({name: getattr(self, name) for name in sorted(_GENERAL)}) | self.stage.to_dict()


_GENERAL = {option.name for option in dataclasses.fields(General)} - {"stage"}


@dataclass(frozen=True, kw_only=True)
class Variation:
    """Where the words of augmented texts come from. In a recipe one flat table, with the fields of `settings` in it.

    vectors: file of word vectors, for words of several pieces. words: how many of them are read; None = all.
    model: a checkpoint with a masked_lm head, for words of one piece; None = the vectors serve for all.
    settings: how much is varied. Its seed is that of the distillation.
    """

    vectors: str | None = None
    words: int | None = 100_000
    model: str | None = None
    settings: Augmentation = dataclasses.field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        if self.vectors is None and self.model is None:
            raise ConfigError("vectors, model: nothing to take words from; name one of them or both")
        if self.settings.seed != Augmentation().seed:
            raise ConfigError(f"seed: {ELSEWHERE['seed']}")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, source: str = "augmentation") -> Variation:
        """From one flat table."""
        own = {name: value for name, value in values.items() if name in _VARIATION}
        settings = {name: value for name, value in values.items() if name not in _VARIATION}
        told = own | {"settings": from_dict(Augmentation, settings, source=source)}
        return from_dict(cls, told, source=source)

    def to_dict(self) -> dict[str, Any]:
        """The flat table that `from_dict` reads."""
        settings = {name: value for name, value in dataclasses.asdict(self.settings).items() if name != "seed"}
        return _present({name: getattr(self, name) for name in sorted(_VARIATION)}) | settings


_VARIATION = {option.name for option in dataclasses.fields(Variation)} - {"settings"}


@dataclass(frozen=True, kw_only=True)
class LatencyOptions:
    """How the time of a text is measured: of random tokens, the median over repetitions after some to warm up.

    batch_size: texts at a time. length: tokens of each; no more than the models take.
    """

    batch_size: int = 1
    length: int = 128
    warmup: int = 3
    repetitions: int = 20

    def __post_init__(self) -> None:
        require_positive(self, "batch_size", "length", "warmup", "repetitions")


def _present(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _changed_training(usual: TrainingConfig, values: Mapping[str, Any], *, source: str) -> TrainingConfig:
    """The same settings with others in place of some."""
    given = {OTHER_NAMES.get(name, name): value for name, value in values.items()}
    if len(given) < len(values):
        raise ConfigError(f"{source}: a setting is given twice, under two names: {', '.join(sorted(values))}")
    for name, why in ELSEWHERE.items():
        if name in given:
            raise ConfigError(f"{source}: {name}: {why}")
    kept = dataclasses.asdict(usual)
    for kind in ("eval", "save"):
        if f"{kind}_strategy" in given:
            del kept[f"{kind}_steps"]  # belongs to the strategy that is replaced
    return TrainingConfig.from_dict(kept | given, source=source)


GENERAL = Stage(
    objective=INTERMEDIATE,
    training=TrainingConfig(
        learning_rate=5e-5,
        num_train_epochs=3,
        warmup_ratio=0.1,
        load_best=False,
        save_strategy="steps",
        save_steps=1000,
    ),
    batch_size=256,
)
"""General distillation: three passes over Wikipedia."""

INNER = Stage(
    objective=INTERMEDIATE,
    training=TrainingConfig(
        learning_rate=5e-5,
        num_train_epochs=20,
        lr_scheduler="constant",
        warmup_ratio=0.0,
        load_best=False,
        save_strategy="epoch",
    ),
)
"""The intermediate stage of task distillation. 10 epochs for large tasks (MNLI, QQP, QNLI), 50 for CoLA."""

OUTER = Stage(
    objective=PREDICTION,
    training=TrainingConfig(learning_rate=3e-5, num_train_epochs=3, warmup_ratio=0.1, save_strategy="epoch"),
)
"""The prediction stage of task distillation. The paper tries 1e-5, 2e-5 and 3e-5 with batches of 16 and 32."""
