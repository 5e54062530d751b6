"""Settings that cannot be meant are refused where they are given."""

from __future__ import annotations

import tomllib

import pytest

from plm.config import to_dict
from plm.errors import ConfigError
from plm.training.config import OTHER_NAMES, TrainingConfig
from plm.training.schedules import Phase


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
        ({"save_strategy": "steps"}, "save_steps: needed with save_strategy"),
        ({"save_steps": 5}, "save_steps: needed with save_strategy"),
        ({"save_strategy": "never"}, "save_strategy: 'never' is not one of 'epoch', 'steps', 'no'"),
        ({"keep_checkpoints": 0}, "keep_checkpoints: expected a positive integer, got 0"),
        ({"ema_decay": 1.0}, "ema_decay"),
        ({"lr_scheduler_kwargs": {"ende": 0.1}}, "linear has no option 'ende'; did you mean 'end'"),
        ({"adam_beta2": 1.0}, "adam_beta2: expected a probability"),
        ({"adam_epsilon": -1.0}, "adam_epsilon: expected 0 or a positive number"),
        ({"layer_decay": 0.0}, r"layer_decay: expected a share in \(0, 1\], got 0.0"),
        (
            {"learning_rates": {"heads.*": 0.0}},
            "learning_rates: 'heads.*': expected a positive number, got 0.0",
        ),
        ({"label_smoothing": 1.0}, "label_smoothing: expected a probability"),
        ({"focal_gamma": -1.0}, "focal_gamma: expected 0 or a positive number"),
        ({"class_weights": (1.0, -1.0)}, r"class_weights: expected numbers from 0 up, not all 0, got \[1.0, -1.0\]"),
        ({"class_weights": (0.0, 0.0)}, "class_weights: expected numbers from 0 up, not all 0"),
        (
            {"lr_phases": (Phase(max_steps=3, learning_rate=1.0),)},
            "lr_phases: they last 3 updates; set max_steps",
        ),
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


def test_rates_losses_and_phases_stand_in_run_files() -> None:
    table = """
        max_steps = 5
        learning_rate = 4e-3
        layer_decay = 0.9
        freeze = ["backbone.embeddings.*"]
        class_weights = "balanced"
        label_smoothing_factor = 0.1
        lr_scheduler_kwargs = { end = 0.02, jump = true }
        [learning_rates]
        "heads.*" = 1e-3
        [[lr_phases]]
        max_steps = 3
        learning_rate = 6e-3
        [[lr_phases]]
        max_steps = 2
        learning_rate = 4e-3
        lr_scheduler = "polynomial"
        lr_scheduler_kwargs = { power = 1.0 }
    """
    config = TrainingConfig.from_dict(tomllib.loads(table))
    assert (config.class_weights, config.label_smoothing) == ("balanced", 0.1)
    assert config.lr_scheduler_kwargs == {"end": 0.02, "jump": True}
    assert config.lr_phases[1].lr_scheduler_kwargs == {"power": 1.0}
    assert TrainingConfig.from_dict(to_dict(config)) == config
    weighted = TrainingConfig(class_weights=(1.0, 2.0))
    assert TrainingConfig.from_dict(to_dict(weighted)) == weighted


def test_the_rate_follows_the_schedule_or_the_phases() -> None:
    plain = TrainingConfig(lr_scheduler="polynomial", lr_scheduler_kwargs={"power": 1.0}, warmup_ratio=0.2)
    assert [plain.rate_factor(update, 10) for update in (0, 1, 4, 9)] == pytest.approx([0.5, 0.8, 0.5, 0.0])
    phases = (Phase(max_steps=2, learning_rate=1.0), Phase(max_steps=2, learning_rate=3.0))
    phased = TrainingConfig(learning_rate=2.0, max_steps=4, lr_phases=phases)
    assert [2.0 * phased.rate_factor(update, 4) for update in range(4)] == pytest.approx([1.0, 0.5, 3.0, 1.5])


def test_warmup_is_a_share_unless_updates_are_given() -> None:
    assert TrainingConfig(warmup_ratio=0.1).warmup_updates(101) == 11
    assert TrainingConfig(warmup_steps=7).warmup_updates(101) == 7
    assert TrainingConfig(warmup_steps=0).warmup_updates(101) == 0
