"""`plm augment`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from plm.cli.columns import as_column
from plm.cli.output import examples, json_option, show
from plm.data.glue import GLUE_TASKS
from plm.data.readers import Columns
from plm.distillation.augment_files import augment_file
from plm.distillation.augmentation import VARIANTS, Augmentation
from plm.distillation.masked_words import PASSES
from plm.distillation.replaceable import LANGUAGES
from plm.errors import ConfigError
from plm.runs.distilling import Variation
from plm.runs.distilling.augmenting import make_augmenter
from plm.training.distributed import join


def setting(name: str, about: str, choices: Sequence[str] = ()) -> Callable[[Any], Any]:
    """An option that sets a field of Augmentation, and shows the default that lives there."""
    default = next(field.default for field in dataclasses.fields(Augmentation) if field.name == name)
    kind = click.Choice(choices) if choices else type(default)
    return click.option(f"--{name.replace('_', '-')}", name, type=kind, help=f"{about} [{default}]")


@click.command(
    epilog=examples(
        "plm augment train.tsv train_aug.tsv --text sentence --model bert-base-uncased --vectors glove.42B.300d.txt",
        "plm augment MRPC/train.tsv mrpc.tsv --glue mrpc --model bert-base-uncased --passes text",
        "plm augment reviews.jsonl more.jsonl --text review --language zh --model bert-base-chinese --variants 5",
    )
)
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--text", type=as_column, help='Column of texts: name or number from 0. ["text"]')
@click.option("--pair", type=as_column, help="Column of second texts, which are varied, too.")
@click.option("--glue", type=click.Choice(list(GLUE_TASKS)), help="Columns and variants of a GLUE task.")
@click.option("--model", help="Checkpoint of a masked language model, for words that are one token.")
@click.option("--vectors", help="File of word vectors, for the other words.")
@click.option("--words", type=int, default=100_000, show_default=True, help="Word vectors to read at most.")
@setting("variants", "Of each text, at most.")
@setting("candidates", "Words that may replace one.")
@setting("probability", "Of a word to be replaced.")
@setting("language", "What words are.", choices=LANGUAGES.names())
@setting("passes", "What the model is asked: each word for itself, or all of a text.", choices=list(PASSES))
@setting("max_length", "Tokens that the model sees at a time.")
@setting("seed", "Of everything random.")
@click.option("--format", help="tsv, csv or jsonl. [by the name of the file]")
@click.option("--device", help="cpu, cuda, cuda:1; by default the GPU if there is one.")
@json_option
def command(  # what has no name here sets a field of Augmentation
    source: Path,
    target: Path,
    text: str | int | None,
    pair: str | int | None,
    glue: str | None,
    model: str | None,
    vectors: str | None,
    words: int,
    format: str | None,
    device: str | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Write the table SOURCE with variants of its texts behind each row into TARGET, as TinyBERT's augmentation does.

    Labels and whatever else is in a row stay as they are.
    """
    settings = {name: value for name, value in given.items() if value is not None}
    if glue is not None:
        settings = {"variants": VARIANTS.get(glue, Augmentation().variants)} | settings
    seed = settings.pop("seed", Augmentation().seed)
    variation = Variation(vectors=vectors, words=words, model=model, settings=Augmentation(**settings))
    augmenter = make_augmenter(variation, seed=seed, device=str(join().device) if device is None else device)
    report = augment_file(source, target, _columns(text, pair, glue), augmenter, format=format)
    added = {str(column): count for column, count in report.added.items()}
    values = {"rows_read": report.rows_read, "rows_written": report.rows_written, "added": added}
    show([f"{target}: {report}"], values, as_json=as_json)


def _columns(text: str | int | None, pair: str | int | None, glue: str | None) -> Columns:
    if glue is None:
        return Columns(text="text" if text is None else text, pair=pair, label=None)
    if text is not None or pair is not None:
        raise ConfigError("--glue: names the columns; leave --text and --pair out")
    return dataclasses.replace(GLUE_TASKS[glue].columns, label=None)
