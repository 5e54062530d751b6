"""The settings of a training run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from plm.config import from_dict, require_choice, require_positive, require_probability
from plm.errors import ConfigError
from plm.training.optimizers import OPTIMIZERS
from plm.training.precision import PRECISIONS, Precision
from plm.training.schedules import SCHEDULES

# Arguments of transformers that differ from ours by nothing but the name.
TRANSFORMERS_NAMES = {
    "evaluation_strategy": "eval_strategy",
    "load_best_model_at_end": "load_best",
    "logging_steps": "log_every",
    "lr_scheduler_type": "lr_scheduler",
    "metric_for_best_model": "metric_for_best",
}


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How to train; what to train on is the Trainer's business. One update = one step of the optimizer.

    learning_rate: the highest of the run; lr_scheduler: a name in SCHEDULES; optimizer: a name in OPTIMIZERS.
    num_train_epochs: passes over the data, also parts of one; max_steps: updates, instead, when it is not None.
    warmup_ratio: share of all updates in which the learning rate rises; warmup_steps: updates, instead, if not None.
    weight_decay: on matrices only, never on biases and norms.
    max_grad_norm: gradients are scaled down to this norm over all parameters; None = never.
    gradient_accumulation_steps: batches to one update, which is the same as that of one batch as large as all of them.
    precision: "bf16" and "fp16" (CUDA only) compute in 16 bits and keep 32-bit weights.
    seed: of dropout; the order of the data belongs to the batches.
    eval_strategy: evaluate after every epoch, after every eval_steps updates, or never; also at the end unless "no".
    metric_for_best: which result of the evaluation names the best weights; None = its first.
    greater_is_better: None = False for a metric whose name ends in "loss" or "perplexity", else True.
    early_stopping_patience: stop after so many evaluations in a row without a new best; None = never.
    load_best: True = the model has its best weights when training ends, not its last ones; costs a copy of the weights
        in main memory.
    keep: which folders to write when the Trainer can save: "last" after every evaluation and at the end, "best".
    log_every: updates that one entry of the history stands for.
    """

    learning_rate: float = 5e-5
    num_train_epochs: float = 3.0
    max_steps: int | None = None
    warmup_ratio: float = 0.1
    warmup_steps: int | None = None
    lr_scheduler: str = "linear"
    optimizer: str = "adamw"
    weight_decay: float = 0.01
    max_grad_norm: float | None = 1.0
    gradient_accumulation_steps: int = 1
    precision: Precision = "fp32"
    seed: int = 42
    eval_strategy: Literal["epoch", "steps", "no"] = "epoch"
    eval_steps: int | None = None
    metric_for_best: str | None = None
    greater_is_better: bool | None = None
    early_stopping_patience: int | None = None
    load_best: bool = True
    keep: tuple[Literal["last", "best"], ...] = ("last", "best")
    log_every: int = 10

    def __post_init__(self) -> None:
        require_positive(self, "gradient_accumulation_steps", "log_every")
        for name in ("max_steps", "eval_steps", "early_stopping_patience"):
            if getattr(self, name) is not None:
                require_positive(self, name)
        require_probability(self, "warmup_ratio")
        require_choice(self, "lr_scheduler", SCHEDULES.names())
        require_choice(self, "optimizer", OPTIMIZERS.names())
        require_choice(self, "precision", PRECISIONS)
        require_choice(self, "eval_strategy", ("epoch", "steps", "no"))
        for name in ("learning_rate", "num_train_epochs", "max_grad_norm"):
            value = getattr(self, name)
            if value is not None and not 0.0 < value < math.inf:
                raise ConfigError(f"{name}: expected a positive number, got {value}")
        for name in ("weight_decay", "warmup_steps", "seed"):
            value = getattr(self, name)
            if value is not None and not 0.0 <= value < math.inf:
                raise ConfigError(f"{name}: expected 0 or a positive number, got {value}")
        if (self.eval_strategy == "steps") != (self.eval_steps is not None):
            raise ConfigError('eval_steps: needed with eval_strategy "steps", and only with it')
        if self.early_stopping_patience is not None and self.eval_strategy == "no":
            raise ConfigError('early_stopping_patience: needs evaluations, but eval_strategy is "no"')

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, source: str = "training config") -> TrainingConfig:
        """From a TOML or JSON table; the names in TRANSFORMERS_NAMES will do. Raises ConfigError naming the field."""
        renamed: dict[str, Any] = {}
        for name, value in values.items():
            ours = TRANSFORMERS_NAMES.get(name, name)
            if ours in renamed:
                raise ConfigError(f"{source}: {ours!r} is given twice, under its own name and as in transformers")
            renamed[ours] = value
        return from_dict(cls, renamed, source=source)

    def warmup_updates(self, total_updates: int) -> int:
        """Updates with a rising learning rate."""
        return math.ceil(self.warmup_ratio * total_updates) if self.warmup_steps is None else self.warmup_steps
