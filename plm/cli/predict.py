"""`plm predict`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from plm.auto.choosing import DTYPES, TORCH
from plm.backends import BACKENDS
from plm.bulk import OUTPUTS, RECORDS, Effort, Predict, Table, answer_file
from plm.checkpoints.hub import resolve
from plm.cli.bulk import BULK_OPTIONS, bulk_options
from plm.cli.columns import as_column
from plm.cli.output import examples
from plm.config import write_text
from plm.data import FORMATS, Columns, Example, read_examples
from plm.data.tsv import tsv_row
from plm.errors import DataError
from plm.pipelines import TASKS, pipeline
from plm.runs.prediction import chosen_task, predict
from plm.tasks import AnyTask, Classification, QuestionAnswering, Tagging
from plm.tasks.saving import SavedTask, load_tasks

# What a folder was trained for, and the pipeline that asks it about texts; other tasks are asked about files alone.
PIPELINES: Mapping[type[AnyTask], str] = {
    Classification: "text-classification",
    Tagging: "token-classification",
    QuestionAnswering: "question-answering",
}

# Options that say how to read a table of texts, or how a pipeline cuts them.
_OF_PIPELINES = {
    "text": "--text",
    "pair": "--pair",
    "id_": "--id",
    "table": "--format",
    "header": "--header",
    "max_length": "--max-length",
}

# What is only written to files.
_FILES_ALONE = ("parquet", "npy")


@click.command(
    epilog=examples(
        'plm predict my-classifier "a good day" "a bad day"',
        "plm predict my-classifier --file reviews.tsv --text review --output answers.jsonl",
        "plm predict my-classifier --file reviews.parquet --output answers.parquet --workers 2",
        "plm predict nli --file pairs.csv --text premise --pair hypothesis --to tsv",
        "cat texts.txt | plm predict my-classifier",
        'plm predict runs/conll2003 "Angela Merkel lives in Berlin."',
        "plm predict runs/conll2003 --file test.conll",
        "plm predict my-classifier --file reviews.tsv --backend int8",
        "plm predict runs/squad --file dev.json",
        "plm predict bert-base-chinese --task sentence-embedding --file texts.jsonl --text title",
    )
)
@click.argument("model")
@click.argument("texts", nargs=-1)
@click.option("--task", help=f"One of several that MODEL was trained for, or one of {', '.join(TASKS.names())}.")
@click.option("--file", "file", type=click.Path(path_type=Path), help="A file like those that MODEL was trained on.")
@click.option("--text", help='Its column of texts: name or number from 0. [as trained, or "text"]')
@click.option("--pair", help="Its column of second texts; of contexts, where texts are questions.")
@click.option("--id", "id_", help="Its column of names for texts. [the line number]")
@click.option("--format", "table", type=click.Choice(RECORDS.names()), help="Of --file. [told by its suffix]")
@click.option("--header/--no-header", default=None, help="Line 1 names the columns. [when names are given]")
@click.option("--max-length", type=click.IntRange(min=1), help="Tokens that texts are cut to. [what the model takes]")
@click.option("--backend", type=click.Choice(BACKENDS.names()), default=TORCH, show_default=True, help="Who computes.")
@click.option("--dtype", type=click.Choice(DTYPES), default=DTYPES[0], show_default=True, help="Of the weights.")
@click.option("--to", "form", type=click.Choice(OUTPUTS.names()), help="[told by the suffix of --output, else jsonl]")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="File to write. [standard output]")
@bulk_options
@click.pass_context
def command(
    context: click.Context,
    model: str,
    texts: tuple[str, ...],
    task: str | None,
    file: Path | None,
    text: str | None,
    pair: str | None,
    id_: str | None,
    table: str | None,
    header: bool | None,
    max_length: int | None,
    backend: str,
    dtype: str,
    form: str | None,
    output: Path | None,
    effort: Effort,
) -> None:
    """Ask MODEL about texts: arguments, a --file, or else standard input, one a text.

    MODEL is a folder or a name on the Hugging Face hub. Answers come in the order of the texts. A folder that `plm
    train` wrote knows its task, and reads a --file as it read those for training; the expected answers may be missing.

    A table of texts with --output may be of any size, and packed (.gz, .xz, .bz2): it is worked on in parts, and
    interrupted or killed the same command goes on where it stopped.
    """
    if texts and file is not None:
        raise click.UsageError("give texts or --file, not both")
    if output is not None and not output.parent.is_dir():
        raise click.UsageError(f"--output: there is no folder {output.parent}; make it first")
    name, saved = _asked(model, task)
    as_trained = file is not None and saved is not None and _is_read_as_trained(model, file, saved)
    if file is not None and output is not None and not as_trained:
        read = _layout(file, saved, text=text, pair=pair, id_=id_, form=table, header=header)
        asked = _pipeline_for(name, saved)
        job = Predict(model=model, task=asked, backend=backend, dtype=dtype, max_length=max_length)
        click.echo(str(answer_file(read, job, output, to=form, effort=effort)), err=True)
        return
    _refuse_unused(context, BULK_OPTIONS, "it belongs to a table of texts, --file, with --output")
    if form in _FILES_ALONE:
        raise click.UsageError(f"--to {form} belongs to a table of texts, --file, with --output")
    if file is not None and as_trained:
        _refuse_unused(context, _OF_PIPELINES, "the file is read, and its texts are cut, as in training")
        rows = predict(model, file, task=name, backend=backend, dtype=dtype).records
    else:
        listed = (
            _plain(texts or _standard_input())
            if file is None
            else _examples(_layout(file, saved, text=text, pair=pair, id_=id_, form=table, header=header))
        )
        ask = pipeline(_pipeline_for(name, saved), model, backend=backend, dtype=dtype, max_length=max_length)
        answers = ask([one.text if one.pair is None else (one.text, one.pair) for one in listed])
        rows = [_row(*both) for both in zip(listed, answers, strict=True)]
    written = "".join(f"{line}\n" for line in (_as_tsv(rows) if form == "tsv" else _as_jsonl(rows)))
    if output is None:
        click.echo(written, nl=False)
    else:
        write_text(output, written)


def _asked(model: str, task: str | None) -> tuple[str, SavedTask | None]:
    """A task that the model was trained for, by name, or else the name of a pipeline task."""
    saved = load_tasks(resolve(model))
    if task in TASKS and task not in saved:
        return str(task), None
    if saved:
        return chosen_task(saved, task, source=model)
    if task is not None:
        TASKS.get(task)  # raises: it is not there
    return PIPELINES[Classification], None


def _is_read_as_trained(model: str, file: Path, saved: SavedTask) -> bool:
    """False = a table of texts for a folder that classifies and does nothing else: a pipeline is asked about those."""
    return not isinstance(saved.task, Classification) or file.is_dir() or len(load_tasks(resolve(model))) > 1


def _pipeline_for(name: str, saved: SavedTask | None) -> str:
    if saved is None:
        return name
    for kind, asked in PIPELINES.items():
        if isinstance(saved.task, kind):
            return asked
    raise click.UsageError(f"the task {name!r} ({type(saved.task).__name__}) is asked about files: give --file")


def _refuse_unused(context: click.Context, options: Mapping[str, str], reason: str) -> None:
    """Raise UsageError for options that say nothing here. options: parameter -> option."""
    given = [name for name in options if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    if given:
        raise click.UsageError(f"{options[given[0]]} says nothing here: {reason}")


def _layout(
    file: Path,
    saved: SavedTask | None,
    *,
    text: str | None,
    pair: str | None,
    id_: str | None,
    form: str | None,
    header: bool | None,
) -> Table:
    """A table with the columns that are named, else with those that a classifier was trained on."""
    if text is None and saved is not None and isinstance(saved.task, Classification):
        task = saved.task
        columns = Columns(text=task.text, pair=as_column(pair) or task.pair, id=as_column(id_))
        form, header = form or task.format, task.header if header is None else header
    else:
        columns = Columns(text=as_column(text or "text"), pair=as_column(pair), id=as_column(id_))
    return Table(file, columns, form, header)


def _examples(table: Table) -> list[Example]:
    """All texts of a table. Formats of files that are only read in bulk are no tables of FORMATS."""
    if table.format not in (None, *FORMATS.names()) or Path(table.file).suffix == ".parquet":
        raise click.UsageError("Parquet is read with --output only: name a file to write")
    return read_examples(table.file, table.columns, format=table.format, header=table.header)


def _standard_input() -> list[str]:
    """Its lines. Only line feeds end a line, and blank lines at the end are none."""
    if sys.stdin.isatty():
        raise click.UsageError("no texts: give some, or --file, or send them to standard input, one a line")
    try:
        text = sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"standard input, byte {error.start + 1}: not UTF-8; convert it first, as with iconv"
        ) from error
    lines = text.rstrip().split("\n")
    return [] if lines == [""] else [line.removesuffix("\r") for line in lines]


def _plain(texts: Sequence[str]) -> list[Example]:
    if not texts:
        raise DataError("standard input holds no texts")
    for number, text in enumerate(texts, start=1):
        if not text.strip():
            raise DataError(f"text {number} is empty; remove it, or fill it")
    return [
        Example(id=str(number), text=text, pair=None, label=None, line=number)
        for number, text in enumerate(texts, start=1)
    ]


def _row(example: Example, answer: Any) -> dict[str, Any]:
    """What a user gets for one text; answers that are arrays become lists."""
    asked = {"id": example.id, "text": example.text, **({} if example.pair is None else {"pair": example.pair})}
    if isinstance(answer, list):
        return asked | {"entities": answer}
    return asked | (answer if isinstance(answer, dict) else {"output": answer.tolist()})


def _as_jsonl(rows: list[dict[str, Any]]) -> Iterator[str]:
    return (json.dumps(row, ensure_ascii=False) for row in rows)


def _as_tsv(rows: list[dict[str, Any]]) -> Iterator[str]:
    """A header, and one line for each row."""
    yield tsv_row(rows[0])
    yield from (tsv_row(row.values()) for row in rows)
