"""`plm embed`."""

from __future__ import annotations

from pathlib import Path

import click

from plm.auto.choosing import DTYPES
from plm.backends import BACKENDS
from plm.bulk import OUTPUTS, POOLINGS, RECORDS, Effort, Embed, Table, answer_file
from plm.cli.bulk import bulk_options
from plm.cli.columns import as_column
from plm.cli.output import examples
from plm.data import Columns


@click.command(
    epilog=examples(
        "plm embed bert-base-uncased --file reviews.jsonl --text review --output vectors.npy",
        "plm embed my-encoder --file texts.parquet --id key --normalize --output vectors.parquet --workers 2",
        "plm embed my-encoder --file lines.tsv.gz --text 0 --pooling cls --output vectors.jsonl --bad-rows skip",
    )
)
@click.argument("model")
@click.option("--file", "file", type=click.Path(path_type=Path), required=True, help="A table with a text in each row.")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), required=True, help="File to write.")
@click.option("--text", default="text", show_default=True, help="Its column of texts: name or number from 0.")
@click.option("--pair", help="Its column of second texts.")
@click.option("--id", "id_", help="Its column of names for texts. [the number of the line]")
@click.option("--format", "table", type=click.Choice(RECORDS.names()), help="Of --file. [told by its suffix]")
@click.option("--header/--no-header", default=None, help="Line 1 names the columns. [when names are given]")
@click.option("--to", "form", type=click.Choice(OUTPUTS.names()), help="Of --output. [told by its suffix]")
@click.option(
    "--pooling",
    type=click.Choice(POOLINGS.names()),
    default=Embed.pooling,
    show_default=True,
    help="The mean of the states of all tokens, or the state of the first.",
)
@click.option("--normalize", is_flag=True, help="Make every vector one of length 1.")
@click.option("--max-length", type=click.IntRange(min=1), help="Tokens that texts are cut to. [what the model takes]")
@click.option(
    "--backend", type=click.Choice(BACKENDS.names()), default=Embed.backend, show_default=True, help="Who computes."
)
@click.option("--dtype", type=click.Choice(DTYPES), default=Embed.dtype, show_default=True, help="Of the weights.")
@bulk_options
def command(
    model: str,
    file: Path,
    output: Path,
    text: str,
    pair: str | None,
    id_: str | None,
    table: str | None,
    header: bool | None,
    form: str | None,
    pooling: str,
    normalize: bool,
    max_length: int | None,
    backend: str,
    dtype: str,
    effort: Effort,
) -> None:
    """Write a vector for the text in every row of --file, made by MODEL, a folder or a name on the Hugging Face hub.

    Files may be of any size, and packed (.gz, .xz, .bz2). The rows stay in their order. As .npy the vectors are a
    matrix of float32 that can be mapped into memory. Interrupted or killed, the same command goes on where it stopped.
    """
    columns = Columns(text=as_column(text), pair=as_column(pair), id=as_column(id_))
    job = Embed(
        model=model,
        pooling=pooling,
        normalize=normalize,
        backend=backend,
        dtype=dtype,
        max_length=max_length,
    )
    done = answer_file(Table(file, columns, format=table, header=header), job, output, to=form, effort=effort)
    click.echo(str(done), err=True)
