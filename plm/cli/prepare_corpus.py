"""`plm prepare-corpus`. Imports no torch, so that its processes stay small."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from plm.auto.tokenizer import AutoTokenizer
from plm.cli.output import examples, json_option, show
from plm.corpus.prepare import REPORT, prepare
from plm.corpus.ray_engine import ray_engine
from plm.corpus.reading import TextLayout
from plm.corpus.segmenters import named_segmenter


@click.command(
    epilog=examples(
        "plm prepare-corpus books.txt --split rules --tokenizer bert-base-uncased --output-dir corpus/books",
        "plm prepare-corpus wiki/ 'n/*.jsonl.gz' --layout jsonl --tokenizer folder --output-dir corpus/web --workers 8",
        "plm prepare-corpus zh.txt --tokenizer bert-base-chinese --segmenter jieba --output-dir corpus/zh",
    )
)
@click.argument("text", nargs=-1, required=True)
@click.option("--output-dir", required=True, type=click.Path(path_type=Path), help="The folder to write.")
@click.option("--tokenizer", required=True, help="A folder with a vocabulary, or a name on the hub.")
@click.option(
    "--layout",
    type=click.Choice(["sentences", "documents", "jsonl", "files"]),
    default="sentences",
    show_default=True,
    help="A sentence a line and blank lines between documents; a document a line; a JSON object a line; a document a "
    "file.",
)
@click.option("--field", default="text", show_default=True, help="Key of the text in JSON objects.")
@click.option("--split", type=click.Choice(["none", "rules"]), help="Cut lines into sentences. [as the layout needs]")
@click.option(
    "--segmenter",
    metavar="FILE|jieba",
    help="Find words, to be masked as a whole, in text without spaces: a list of words with frequencies, or jieba.",
)
@click.option("--workers", type=click.IntRange(min=0), default=0, show_default=True, help="Processes besides this one.")
@click.option("--engine", type=click.Choice(["local", "ray"]), default="local", help="Who works: processes here, Ray.")
@click.option("--ray-address", help="Of the Ray cluster. [the one of this machine or RAY_ADDRESS, else a new one]")
@click.option("--overwrite", is_flag=True, help="Replace the corpus that is there already.")
@json_option
def command(
    text: tuple[str, ...],
    output_dir: Path,
    tokenizer: str,
    layout: Any,
    field: str,
    split: Any,
    segmenter: str | None,
    workers: int,
    engine: str,
    ray_address: str | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Make token ids of text files, folders and patterns TEXT, to pretrain on: `plm pretrain`.

    Files may be packed (.gz, .xz, .bz2). The folder gets the ids, the tokenizer, and report.md, which says what is in
    the text and what looks wrong with it. Interrupted or killed, the same command goes on where it stopped.
    """
    if (engine == "ray" and workers) or (engine == "local" and ray_address):
        raise click.UsageError("--workers belongs to --engine local, --ray-address to --engine ray")
    corpus = prepare(
        text,
        output_dir,
        tokenizer=AutoTokenizer.from_pretrained(tokenizer),
        layout=TextLayout(kind=layout, field=field, split=split),
        segmenter=None if segmenter is None else named_segmenter(segmenter),
        workers=workers,
        engine=ray_engine(ray_address) if engine == "ray" else None,
        overwrite=overwrite,
    )
    counts = {name: corpus.facts[name] for name in ("documents", "sentences", "tokens")}
    told = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    lines = [f"{output_dir}: {told}", f"{output_dir / REPORT}: what is in it"]
    show(lines, {"output_dir": str(output_dir), **corpus.facts}, as_json=as_json)
