"""The settings of a training run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from plm.config import from_dict, require_choice, require_positive, require_probability
from plm.errors import ConfigError
from plm.training.adversarial import WORD_EMBEDDINGS
from plm.training.optimizers import OPTIMIZERS
from plm.training.precision import PRECISIONS, Precision
from plm.training.schedules import SCHEDULES, Phase, rate_in_phases, schedule

# Other names that users bring along: those of transformers, and what everybody types.
OTHER_NAMES = {
    "dataloader_num_workers": "batch_workers",
    "evaluation_strategy": "eval_strategy",
    "label_smoothing_factor": "label_smoothing",
    "load_best_model_at_end": "load_best",
    "logging_steps": "log_every",
    "lr": "learning_rate",
    "lr_scheduler_type": "lr_scheduler",
    "metric_for_best_model": "metric_for_best",
    "save_total_limit": "keep_checkpoints",
}


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How to train; what to train on is the Trainer's business. One update = one step of the optimizer.

    learning_rate: the highest of the run; lr_scheduler: a name in SCHEDULES; optimizer: a name in OPTIMIZERS.
    num_train_epochs: passes over the data, also parts of one; max_steps: updates, instead, when it is not None.
    warmup_ratio: share of all updates in which the learning rate rises; warmup_steps: updates, instead, if not None.
    lr_scheduler_kwargs: options of the schedule, such as power, end and jump of "polynomial".
    lr_phases: several schedules that follow each other, in place of lr_scheduler and warmup; their max_steps add up to
        this one's. `learning_rate` then only scales the rates that layer_decay and learning_rates set.
    adam_beta1, adam_beta2, adam_epsilon: of every optimizer; None = the optimizer's own, 1e-8 or 1e-6.
    weight_decay: on matrices only, never on biases and norms; decay_vectors: True = on these too.
    layer_decay: the learning rate of a block as a share of that of the next higher one; heads and pooler have
        `learning_rate`. 1 = all alike.
    learning_rates: pattern of parameter names -> learning rate, such as {"heads.*": 1e-3}; the first that fits counts.
    freeze: patterns of parameter names that are not trained, such as "backbone.embeddings.*"; they stay frozen.
    label_smoothing: share of a label that is spread over all classes. focal_gamma: examples that are predicted well
        count less, by (1 - probability) ** gamma. Both, and class_weights, as in plm.training.losses, and only
        for heads that decide between classes; for others they are refused.
    class_weights: by class; "balanced" = all classes count the same, however rare.
    r_drop: how much it counts that two passes under different dropout disagree, plm.training.RDropStep; 0 = one pass.
    adversarial: "fgm" or "pgd" = add the gradient where a small change of the weights hurts most, for one more pass
        ("pgd": adversarial_steps more), as in plm.training.adversarial; None = no.
    adversarial_epsilon: length of that change. adversarial_target: pattern of the parameters that are changed.
    max_grad_norm: gradients are scaled down to this norm over all parameters; None = never.
    gradient_accumulation_steps: batches to one update, which is the same as that of one batch as large as all of them.
        Several processes share them: best a multiple of their number; with fewer, batches are cut by rows.
    precision: "bf16" and "fp16" (CUDA only) compute in 16 bits and keep 32-bit weights.
    gradient_checkpointing: True = blocks are computed again in the backward pass: far less memory, a third more time.
    torch_compile: True = the model is compiled before it is trained, with sizes left open. Pays on GPUs for long runs:
        the first updates compile, for minutes, and what depends on the data (packing) stays outside.
    parallel: how several processes, started by torchrun, share the work; without them it changes nothing. "ddp": each
        has the whole model. "fsdp": each has a part of weights, gradients and moments, for models that are too large
        otherwise; batches are then cut by rows.
    batch_workers: processes that make batches while the model is updated, in each process that trains; 0 = none, which
        is best on CPUs. The batches are the same ones. Not on Windows.
    seed: of dropout; the order of the data belongs to the batches.
    eval_strategy: evaluate after every epoch, after every eval_steps updates, or never; also at the end unless "no".
    metric_for_best: which result of the evaluation names the best weights; None = its first.
    greater_is_better: None = False for a metric whose name ends in "loss" or "perplexity", else True.
    early_stopping_patience: stop after so many evaluations in a row without a new best; None = never.
    load_best: True = the model has its best weights when training ends, not its last ones; costs a copy of the weights
        in main memory.
    keep: which folders to write when the Trainer can save: "last" after every evaluation and at the end, "best".
    ema_decay: evaluate, keep and save an average of the weights over the updates, plm.training.ExponentialAverage, in
        place of the weights themselves; 0.999 for a thousand updates and more. None = no average.
    save_strategy: write a checkpoint of the run after every epoch, after every save_steps updates, or never; also when
        the run ends, unless "no". It goes into output_dir/checkpoints, and takes three times the space of the weights,
        and once more each with load_best and with ema_decay.
    keep_checkpoints: how many of them stay, the newest.
    resume: "auto" = go on from the newest whole checkpoint, if there is one; "never" = start anew; else the folder of a
        checkpoint.
    log_every: updates that one entry of the history stands for.
    """

    learning_rate: float = 5e-5
    num_train_epochs: float = 3.0
    max_steps: int | None = None
    warmup_ratio: float = 0.1
    warmup_steps: int | None = None
    lr_scheduler: str = "linear"
    lr_scheduler_kwargs: dict[str, float | bool] = field(default_factory=dict)
    lr_phases: tuple[Phase, ...] = ()
    optimizer: str = "adamw"
    adam_beta1: float = 0.9
    adam_beta2: float = 0.999
    adam_epsilon: float | None = None
    weight_decay: float = 0.01
    decay_vectors: bool = False
    layer_decay: float = 1.0
    learning_rates: dict[str, float] = field(default_factory=dict)
    freeze: tuple[str, ...] = ()
    label_smoothing: float = 0.0
    focal_gamma: float = 0.0
    class_weights: tuple[float, ...] | Literal["balanced"] | None = None
    r_drop: float = 0.0
    adversarial: Literal["fgm", "pgd"] | None = None
    adversarial_epsilon: float = 1.0
    adversarial_steps: int = 3
    adversarial_target: str = WORD_EMBEDDINGS
    max_grad_norm: float | None = 1.0
    gradient_accumulation_steps: int = 1
    precision: Precision = "fp32"
    gradient_checkpointing: bool = False
    torch_compile: bool = False
    parallel: Literal["ddp", "fsdp"] = "ddp"
    batch_workers: int = 0
    seed: int = 42
    eval_strategy: Literal["epoch", "steps", "no"] = "epoch"
    eval_steps: int | None = None
    metric_for_best: str | None = None
    greater_is_better: bool | None = None
    early_stopping_patience: int | None = None
    load_best: bool = True
    keep: tuple[Literal["last", "best"], ...] = ("last", "best")
    ema_decay: float | None = None
    save_strategy: Literal["epoch", "steps", "no"] = "no"
    save_steps: int | None = None
    keep_checkpoints: int = 2
    resume: str = "never"
    log_every: int = 10

    def __post_init__(self) -> None:
        require_positive(self, "gradient_accumulation_steps", "log_every", "keep_checkpoints", "adversarial_steps")
        for name in ("max_steps", "eval_steps", "save_steps", "early_stopping_patience"):
            if getattr(self, name) is not None:
                require_positive(self, name)
        require_probability(self, "warmup_ratio", "adam_beta1", "adam_beta2", "label_smoothing", "ema_decay")
        require_choice(self, "lr_scheduler", SCHEDULES.names())
        schedule(self.lr_scheduler, self.lr_scheduler_kwargs)
        require_choice(self, "optimizer", OPTIMIZERS.names())
        require_choice(self, "precision", PRECISIONS)
        if self.adversarial is not None:
            require_choice(self, "adversarial", ("fgm", "pgd"))
        require_choice(self, "parallel", ("ddp", "fsdp"))
        require_choice(self, "eval_strategy", ("epoch", "steps", "no"))
        require_choice(self, "save_strategy", ("epoch", "steps", "no"))
        for name in ("learning_rate", "num_train_epochs", "max_grad_norm", "adversarial_epsilon"):
            value = getattr(self, name)
            if value is not None and not 0.0 < value < math.inf:
                raise ConfigError(f"{name}: expected a positive number, got {value}")
        for name in ("weight_decay", "warmup_steps", "seed", "adam_epsilon", "focal_gamma", "r_drop", "batch_workers"):
            value = getattr(self, name)
            if value is not None and not 0.0 <= value < math.inf:
                raise ConfigError(f"{name}: expected 0 or a positive number, got {value}")
        self._check_rates()
        if self.parallel == "fsdp" and (self.precision == "fp16" or self.torch_compile):
            raise ConfigError('parallel: "fsdp" goes with precision "fp32" or "bf16", and without torch_compile')
        if (self.eval_strategy == "steps") != (self.eval_steps is not None):
            raise ConfigError('eval_steps: needed with eval_strategy "steps", and only with it')
        if (self.save_strategy == "steps") != (self.save_steps is not None):
            raise ConfigError('save_steps: needed with save_strategy "steps", and only with it')
        if self.early_stopping_patience is not None and self.eval_strategy == "no":
            raise ConfigError('early_stopping_patience: needs evaluations, but eval_strategy is "no"')

    def _check_rates(self) -> None:
        if not 0.0 < self.layer_decay <= 1.0:
            raise ConfigError(f"layer_decay: expected a share in (0, 1], got {self.layer_decay}")
        for pattern, rate in self.learning_rates.items():
            if not 0.0 < rate < math.inf:
                raise ConfigError(f"learning_rates: {pattern!r}: expected a positive number, got {rate}; or use freeze")
        weights = self.class_weights
        if isinstance(weights, tuple) and not (all(0.0 <= weight < math.inf for weight in weights) and any(weights)):
            raise ConfigError(f"class_weights: expected numbers from 0 up, not all 0, got {list(weights)}")
        planned = sum(phase.max_steps for phase in self.lr_phases)
        if self.lr_phases and self.max_steps != planned:
            raise ConfigError(f"lr_phases: they last {planned} updates; set max_steps to it (got {self.max_steps})")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, source: str = "training config") -> TrainingConfig:
        """From a TOML or JSON table; the names in OTHER_NAMES will do. Raises ConfigError naming the field."""
        renamed: dict[str, Any] = {}
        for name, value in values.items():
            ours = OTHER_NAMES.get(name, name)
            if ours in renamed:
                raise ConfigError(f"{source}: {ours!r} is given twice, under two names")
            renamed[ours] = value
        return from_dict(cls, renamed, source=source)

    def warmup_updates(self, total_updates: int) -> int:
        """Updates with a rising learning rate."""
        return math.ceil(self.warmup_ratio * total_updates) if self.warmup_steps is None else self.warmup_steps

    def rate_factor(self, update: int, total_updates: int) -> float:
        """The learning rate of an update, counted from 0, as a share of `learning_rate`."""
        if self.lr_phases:
            return rate_in_phases(update, self.lr_phases) / self.learning_rate
        chosen = schedule(self.lr_scheduler, self.lr_scheduler_kwargs)
        return chosen(update, total_updates, self.warmup_updates(total_updates))
