"""`plm finetune`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from plm.cli import INTERRUPTED
from plm.cli.columns import as_column
from plm.cli.output import examples, json_option, show
from plm.cli.sources import overwrite_option, parse_settings
from plm.config import from_dict, read_json, read_toml
from plm.errors import ConfigError, did_you_mean
from plm.finetuning import FinetuneConfig, finetune_classifier
from plm.metrics.classification import DEFAULT_METRICS
from plm.training import PRECISIONS, TrainingConfig
from plm.training.config import TRANSFORMERS_NAMES

FIELDS = {
    field.name: field.default for config in (FinetuneConfig, TrainingConfig) for field in dataclasses.fields(config)
}
OWN_FIELDS = {field.name for field in dataclasses.fields(FinetuneConfig)}
COLUMNS = ("text", "pair", "label")


def field_option(flag: str, field: str, about: str, *, type: Any = str) -> Callable[[Any], Any]:
    """An option that sets a field of the configs, and shows the default that lives there."""
    default = FIELDS[field]
    shown = "" if default in (None, dataclasses.MISSING) else f" [{default}]"
    return click.option(flag, field, type=type, help=about + shown)


@click.command(
    epilog=examples(
        "plm finetune bert-base-chinese --train train.tsv --dev dev.tsv --output reviews --text review --label stars",
        "plm finetune tinybert --train t.tsv --dev d.tsv --output nli --text premise --pair hypothesis --epochs 5",
        "plm finetune my-bert --train t.csv --dev d.csv --output similar --problem-type regression --label score",
        "plm finetune --recipe reviews/finetune.json --output again --set weight_decay=0.1",
    )
)
@click.argument("model", required=False)
@field_option("--train", "train_file", "Training file: tsv, csv or jsonl.")
@field_option("--dev", "dev_file", "File to evaluate on, which picks the best weights.")
@field_option("--output", "output_dir", "Folder to write.")
@field_option("--text", "text", "Column of texts: name or number from 0.")
@field_option("--pair", "pair", "Column of second texts.")
@field_option("--label", "label", "Column of labels.")
@field_option("--label-separator", "label_separator", "What stands between several labels in a cell.")
@field_option("--problem-type", "problem_type", "What labels are.", type=click.Choice(list(DEFAULT_METRICS)))
@field_option("--max-length", "max_length", "Tokens that texts are cut to.", type=int)
@field_option("--batch-size", "batch_size", "Texts in a batch.", type=int)
@field_option("--epochs", "num_train_epochs", "Passes over the data.", type=float)
@field_option("--learning-rate", "learning_rate", "Highest learning rate.", type=float)
@field_option("--precision", "precision", "Numbers to compute in.", type=click.Choice(list(PRECISIONS)))
@field_option("--seed", "seed", "Of everything random.", type=int)
@field_option("--device", "device", "cpu, cuda, cuda:1; by default the GPU if there is one.")
@click.option("--recipe", type=click.Path(path_type=Path), help="TOML or JSON file with any of these; options win.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Any other field of the configs.")
@overwrite_option
@json_option
@click.pass_context
def command(  # what has no name here sets a field of the configs, where the defaults live
    context: click.Context,
    /,
    recipe: Path | None,
    settings: tuple[str, ...],
    overwrite: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Train a classifier from the checkpoint MODEL and write the best one into a folder, with tokenizer and labels.

    The folder also gets metrics.json, train_log.jsonl, curve.png, the predictions for the dev file, and
    finetune.json, a recipe of this run. Ctrl-C ends the training and keeps what was learned.
    """
    options = {name: value for name, value in given.items() if value is not None} | parse_settings(settings)
    report = finetune_classifier(read_config(recipe, options), overwrite=overwrite)
    show(report.lines(), report.to_dict(), as_json=as_json)
    if report.training.stopped == "interrupted":
        context.exit(INTERRUPTED)


def read_config(recipe: Path | None, options: dict[str, Any]) -> FinetuneConfig:
    """A config from a recipe and options that win over it.

    Raises ConfigError naming the field that is missing, unknown or of a wrong type.
    """
    source = "options" if recipe is None else str(recipe)
    values: dict[str, Any] = {}
    if recipe is not None:
        values = read_json(recipe) if recipe.suffix == ".json" else read_toml(recipe)
    training = dict(values.get("training", {}))
    for name, value in options.items():
        if name not in FIELDS and name not in TRANSFORMERS_NAMES:
            raise ConfigError(f"options: unknown field {name!r}{did_you_mean(name, FIELDS)}")
        if name not in OWN_FIELDS:
            training[name] = value
        else:
            values[name] = as_column(value) if name in COLUMNS and isinstance(value, str) else value
    settings = TrainingConfig.from_dict(training, source=f"{source}: training")
    return from_dict(FinetuneConfig, values | {"training": dataclasses.asdict(settings)}, source=source)
