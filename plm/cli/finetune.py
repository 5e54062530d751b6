"""`plm finetune`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import click

from plm.cli.columns import as_column
from plm.cli.output import examples, json_option
from plm.cli.sources import overwrite_option, parse_settings
from plm.cli.train import run_and_show
from plm.metrics.classification import DEFAULT_METRICS
from plm.runs import RunConfig, TaskData
from plm.runs.config import with_settings
from plm.tasks import Classification
from plm.training import PRECISIONS, TrainingConfig

# The tables of a run and their classes; an option sets one field of one of them.
TABLES = {"": RunConfig, "task": TaskData, "classification": Classification, "training": TrainingConfig}


def field_option(flag: str, place: str, about: str, *, type: Any = str) -> Callable[[Any], Any]:
    """An option that sets a field, "table.field", and shows the default that lives there."""
    table, _, name = place.rpartition(".")
    default = next(field.default for field in dataclasses.fields(TABLES[table]) if field.name == name)
    shown = "" if default in (None, dataclasses.MISSING) else f" [{default}]"
    parameter = f"{table}__{name}" if table else name
    return click.option(flag, parameter, type=type, help=about + shown)


@click.command(
    epilog=examples(
        "plm finetune bert-base-chinese --train train.tsv --dev dev.tsv --output reviews --text review --label stars",
        "plm finetune tinybert --train t.tsv --dev d.tsv --output nli --text premise --pair hypothesis --epochs 5",
        "plm finetune my-bert --train t.csv --dev d.csv --output similar --problem-type regression --label score",
        "plm train reviews/run.json --set output_dir=again --set training.weight_decay=0.1",
    )
)
@click.argument("model")
@field_option("--train", "task.train", "Training file: tsv, csv or jsonl.")
@field_option("--dev", "task.dev", "File to evaluate on, which picks the best weights.")
@field_option("--test", "task.test", "File to score the best weights on.")
@field_option("--output", "output_dir", "Folder to write.")
@field_option("--text", "classification.text", "Column of texts: name or number from 0.", type=as_column)
@field_option("--pair", "classification.pair", "Column of second texts.", type=as_column)
@field_option("--label", "classification.label", "Column of labels.", type=as_column)
@field_option("--label-separator", "classification.label_separator", "What stands between several labels in a cell.")
@field_option(
    "--problem-type", "classification.problem_type", "What labels are.", type=click.Choice(list(DEFAULT_METRICS))
)
@field_option("--max-length", "task.max_length", "Tokens that texts are cut to.", type=int)
@field_option("--batch-size", "task.batch_size", "Texts in a batch.", type=int)
@field_option("--epochs", "training.num_train_epochs", "Passes over the data.", type=float)
@field_option("--learning-rate", "training.learning_rate", "Highest learning rate.", type=float)
@field_option("--precision", "training.precision", "Numbers to compute in.", type=click.Choice(list(PRECISIONS)))
@field_option("--seed", "training.seed", "Of everything random.", type=int)
@field_option("--device", "device", "cpu, cuda, cuda:1; by default the GPU if there is one.")
@click.option("--set", "settings", multiple=True, metavar="TABLE.NAME=VALUE", help="Any other: training.log_every=5.")
@overwrite_option
@json_option
@click.pass_context
def command(  # what has no name here sets a field of the configs, where the defaults live
    context: click.Context, /, settings: tuple[str, ...], overwrite: bool, as_json: bool, **given: Any
) -> None:
    """Train a classifier from the checkpoint MODEL and write the best one into a folder, with tokenizer and labels.

    The folder also gets metrics.json, train_log.jsonl, curve.png, the predictions for the dev file, and
    run.json, which `plm train` runs again. Ctrl-C ends the training and keeps what was learned.
    """
    options = {place(name): value for name, value in given.items() if value is not None}
    run_and_show(context, read_options(options | parse_settings(settings)), overwrite=overwrite, as_json=as_json)


def place(parameter: str) -> str:
    """Where in a recipe the value of a parameter of this command goes; options of the task stand in its own table."""
    return parameter.replace("classification__", "task.").replace("__", ".")


def read_options(options: dict[str, Any]) -> RunConfig:
    """The run of a classifier from values by dotted name.

    Raises ConfigError naming the field that is missing, unknown or of a wrong type.
    """
    return RunConfig.from_dict(with_settings({"task": {"kind": "classification"}}, options), source="options")
