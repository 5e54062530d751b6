"""A recipe of pretraining says everything once, survives writing, and wrong ones are told where they are wrong."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import pytest

import plm
from plm.errors import ConfigError, UnknownNameError
from plm.runs.architectures import architecture_file
from plm.runs.pretraining_config import PretrainingConfig, read_pretraining
from plm.training import Phase

FOLDER = Path(str(resources.files("plm.configs")))
RECIPES = sorted(path.name for path in (FOLDER / "pretraining").glob("*.toml"))
ARCHITECTURES = sorted(path.name for path in (FOLDER / "models").glob("*.json"))


def tables(**changes: Any) -> dict[str, Any]:
    phases = [
        {"max_length": 128, "max_steps": 90, "learning_rate": 1e-3, "warmup_ratio": 0.1},
        {"max_length": 512, "max_steps": 10, "learning_rate": 2e-3, "tokens_per_batch": 4096},
    ]
    values = {"model": "bert-tiny.json", "output_dir": "out", "corpus": {"train": "a"}, "examples": {"kind": "pairs"}}
    return {**values, "phases": phases, **changes}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_valid_and_survives_writing(name: str) -> None:
    config = read_pretraining(FOLDER / "pretraining" / name)
    assert PretrainingConfig.from_dict(config.to_dict()) == config
    assert config.training_options.max_steps == sum(phase.schedule.max_steps for phase in config.phases)
    if config.model.endswith(".json"):
        architecture = plm.AutoConfig.from_pretrained(architecture_file(config.model), vocab_size=1000)
        assert architecture.attention_pattern == config.examples.objective.pattern
        assert max(phase.max_length for phase in config.phases) <= (architecture.longest_text or 10**9)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_an_architecture_is_found_by_its_name_and_leaves_the_vocabulary_to_the_corpus(name: str) -> None:
    config = plm.AutoConfig.from_pretrained(architecture_file(name), vocab_size=777, pad_token_id=None)
    assert (config.vocab_size, config.pad_token_id) == (777, None)
    with pytest.raises(ConfigError, match="vocab_size"):
        plm.AutoConfig.from_pretrained(architecture_file(name))


def test_the_line_of_google_goes_on_over_both_phases_of_bert_base() -> None:
    options = read_pretraining(FOLDER / "pretraining" / "bert-base.toml").training_options
    rates = [options.rate_factor(update, 1_000_000) * 1e-4 for update in (5000, 500_000, 899_999, 900_000, 950_000)]
    assert rates == pytest.approx([5e-5, 5e-5, 1.00001e-5, 1e-5, 5e-6], rel=1e-4)


def test_the_rates_of_lamb_in_two_phases_are_those_of_nvidia() -> None:
    options = read_pretraining(FOLDER / "pretraining" / "bert-large-lamb.toml").training_options
    steps = (1, 1000, 2000, 2001, 3519, 7037, 7039, 7138, 7238, 7239, 7820)
    rates = [options.rate_factor(step - 1, 8601) * options.learning_rate for step in steps]
    phase_1 = [2.99865e-6, 2.99865e-3, 5.99729e-3, 5.07589e-3, 4.24264e-3, 7.15199e-5]
    assert rates == pytest.approx([*phase_1, 1.99936e-5, 1.99936e-3, 3.99872e-3, 3.73395e-3, 2.82752e-3], rel=1e-5)


def test_phases_become_the_schedules_of_one_training() -> None:
    options = PretrainingConfig.from_dict(tables(training={"optimizer": "lamb"})).training_options
    assert (options.max_steps, options.learning_rate, options.optimizer) == (100, 2e-3, "lamb")
    assert options.lr_phases == (
        Phase(max_steps=90, learning_rate=1e-3, warmup_ratio=0.1),
        Phase(max_steps=10, learning_rate=2e-3),
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"training": {"max_steps": 5}}, "training: 'max_steps' is said by each of the phases"),
        ({"training": {"learning_rate": 5e-5}}, "training: 'learning_rate' is said by each of the phases"),
        ({"training": {"label_smoothing": 0.1}}, "'label_smoothing' is for heads that decide between classes"),
        ({"training": {"optimiser": "lamb"}}, "unknown field 'optimiser'; did you mean 'optimizer'"),
        ({"phases": []}, "phases: expected one at least"),
        ({"phases": {"max_steps": 5}}, r"phases: expected tables, each under \[\[phases\]\]"),
        ({"phases": [{"max_steps": 5}]}, "phases.0: missing field 'learning_rate'"),
        ({"phases": [{"max_steps": 5, "learning_rate": 1e-3, "batchsize": 3}]}, "did you mean|unknown field"),
        ({"examples": {"next_sentence": "random"}}, "missing field 'kind', one of 'pairs', 'texts', 'stretches'"),
        ({"examples": {"kind": "pairs", "masking": {"seed": 3}}}, "masking: seed: is that of the run"),
        ({"examples": {"kind": "stretches", "masking": {}}}, "unknown field 'masking'"),
        ({"examples": {"kind": "texts", "masking": {"probability": 0.0}}}, "nothing to learn"),
        ({"watch": {"patience": 0}}, "patience: expected a positive integer"),
        ({"evaluation": {"max_batches": 0}}, "max_batches: expected a positive integer"),
        ({"model": " "}, "model: expected a name"),
    ],
)
def test_wrong_recipes_are_refused_with_the_place(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PretrainingConfig.from_dict(tables(**changes))


def test_an_unknown_kind_of_examples_lists_the_known() -> None:
    with pytest.raises(UnknownNameError, match="unknown kind of examples 'pair'; did you mean 'pairs'"):
        PretrainingConfig.from_dict(tables(examples={"kind": "pair"}))


def test_values_of_one_phase_win_by_its_number() -> None:
    path = FOLDER / "pretraining" / "bert-base.toml"
    config = read_pretraining(path, {"phases.1.max_steps": 7, "training.seed": 5})
    assert [phase.schedule.max_steps for phase in config.phases] == [900_000, 7]
    assert config.training.seed == 5
    with pytest.raises(ConfigError, match=r"phases\.2\.max_steps: expected one of the numbers 0 to 1, got '2'"):
        read_pretraining(path, {"phases.2.max_steps": 7})
    with pytest.raises(ConfigError, match="expected one of the numbers 0 to 1, got 'max_steps'"):
        read_pretraining(path, {"phases.max_steps": 7})
