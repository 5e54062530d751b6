"""Settings that cannot be meant are refused where they are given."""

from __future__ import annotations

import pytest

from plm.errors import ConfigError
from plm.training.config import OTHER_NAMES, TrainingConfig


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"learning_rate": 0.0}, "learning_rate: expected a positive number, got 0.0"),
        ({"num_train_epochs": -1.0}, "num_train_epochs"),
        ({"max_steps": 0}, "max_steps: expected a positive integer, got 0"),
        ({"warmup_ratio": 1.5}, "warmup_ratio"),
        ({"warmup_steps": -1}, "warmup_steps"),
        ({"gradient_accumulation_steps": 0}, "gradient_accumulation_steps"),
        ({"precision": "fp8"}, "precision: 'fp8' is not one of 'fp32', 'bf16', 'fp16'"),
        ({"lr_scheduler": "linaer"}, "lr_scheduler: .* did you mean 'linear'"),
        ({"optimizer": "sgd"}, "optimizer: 'sgd' is not one of 'adamw', 'bert_adam'"),
        ({"eval_strategy": "steps"}, "eval_steps: needed with eval_strategy"),
        ({"eval_steps": 5}, "eval_steps: needed with eval_strategy"),
        ({"early_stopping_patience": 2, "eval_strategy": "no"}, "needs evaluations"),
    ],
)
def test_values_that_cannot_be_meant_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainingConfig(**values)  # type: ignore[arg-type]


def test_tables_of_run_files_are_taken_and_unknown_names_refused() -> None:
    config = TrainingConfig.from_dict({"learning_rate": 3, "keep": ["best"]}, source="run.toml")
    assert (config.learning_rate, config.keep) == (3.0, ("best",))
    with pytest.raises(ConfigError, match=r"run.toml: unknown field 'learning_rat'; did you mean 'learning_rate'"):
        TrainingConfig.from_dict({"learning_rat": 1.0}, source="run.toml")


def test_names_of_transformers_will_do() -> None:
    values = {"evaluation_strategy": "no", "lr_scheduler_type": "cosine", "logging_steps": 5}
    config = TrainingConfig.from_dict(values | {"load_best_model_at_end": False, "metric_for_best_model": "f1"})
    assert config == TrainingConfig(
        eval_strategy="no", lr_scheduler="cosine", log_every=5, load_best=False, metric_for_best="f1"
    )
    assert set(OTHER_NAMES.values()) <= set(TrainingConfig.__dataclass_fields__)
    with pytest.raises(ConfigError, match="'lr_scheduler' is given twice"):
        TrainingConfig.from_dict({"lr_scheduler": "linear", "lr_scheduler_type": "cosine"})


def test_warmup_is_a_share_unless_updates_are_given() -> None:
    assert TrainingConfig(warmup_ratio=0.1).warmup_updates(101) == 11
    assert TrainingConfig(warmup_steps=7).warmup_updates(101) == 7
    assert TrainingConfig(warmup_steps=0).warmup_updates(101) == 0
