"""`plm predict`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from plm.backends.runner import BACKENDS
from plm.cli.columns import as_column
from plm.cli.output import examples
from plm.config import write_text
from plm.data import FORMATS, Columns, Example, read_examples
from plm.data.tsv import tsv_row
from plm.errors import DataError
from plm.pipelines import TASKS, pipeline


@click.command(
    epilog=examples(
        'plm predict my-classifier "a good day" "a bad day"',
        "plm predict my-classifier --file reviews.tsv --text review --output answers.jsonl",
        "plm predict nli --file pairs.csv --text premise --pair hypothesis --to tsv",
        "cat texts.txt | plm predict my-classifier",
        "plm predict bert-base-chinese --task sentence-embedding --file texts.jsonl --text title",
    )
)
@click.argument("model")
@click.argument("texts", nargs=-1)
@click.option("--task", type=click.Choice(TASKS.names()), default="text-classification", show_default=True)
@click.option("--file", "file", type=click.Path(path_type=Path), help="A tsv, csv or jsonl file of texts.")
@click.option("--text", default="text", show_default=True, help="Its column of texts: name or number from 0.")
@click.option("--pair", help="Its column of second texts.")
@click.option("--id", "id_", help="Its column of names for texts. [the line number]")
@click.option("--format", "table", type=click.Choice(FORMATS.names()), help="Of --file. [told by its suffix]")
@click.option("--header/--no-header", default=None, help="Line 1 names the columns. [when names are given]")
@click.option("--max-length", type=click.IntRange(min=1), help="Tokens that texts are cut to. [what the model takes]")
@click.option("--backend", type=click.Choice(BACKENDS.names()), default="torch", show_default=True)
@click.option("--dtype", type=click.Choice(["float32", "bfloat16", "float16"]), default="float32", show_default=True)
@click.option("--to", "form", type=click.Choice(["jsonl", "tsv"]), default="jsonl", show_default=True)
@click.option("--output", type=click.Path(path_type=Path), help="File to write. [standard output]")
def command(
    model: str,
    texts: tuple[str, ...],
    task: str,
    file: Path | None,
    text: str,
    pair: str | None,
    id_: str | None,
    table: str | None,
    header: bool | None,
    max_length: int | None,
    backend: str,
    dtype: str,
    form: str,
    output: Path | None,
) -> None:
    """Ask MODEL about texts: arguments, a --file, or else standard input, one text a line.

    MODEL is a folder or a name on the Hugging Face hub. Answers come in the order of the texts.
    """
    if texts and file is not None:
        raise click.UsageError("give texts or --file, not both")
    if file is not None:
        columns = Columns(text=as_column(text), pair=as_column(pair), id=as_column(id_))
        asked = read_examples(file, columns, format=table, header=header)
    else:
        asked = _plain(texts or _standard_input())
    ask = pipeline(task, model, backend=backend, dtype=dtype, max_length=max_length)
    answers = ask([one.text if one.pair is None else (one.text, one.pair) for one in asked])
    rows = [_row(one, answer) for one, answer in zip(asked, answers, strict=True)]
    written = "".join(f"{line}\n" for line in (_as_tsv(rows) if form == "tsv" else _as_jsonl(rows)))
    if output is None:
        click.echo(written, nl=False)
    else:
        write_text(output, written)


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
    return asked | (answer if isinstance(answer, dict) else {"output": answer.tolist()})


def _as_jsonl(rows: list[dict[str, Any]]) -> Iterator[str]:
    return (json.dumps(row, ensure_ascii=False) for row in rows)


def _as_tsv(rows: list[dict[str, Any]]) -> Iterator[str]:
    """A header, and one line for each row."""
    yield tsv_row(rows[0])
    yield from (tsv_row(row.values()) for row in rows)
