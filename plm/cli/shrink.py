"""`plm shrink`."""

from __future__ import annotations

from pathlib import Path

import click

from plm.checkpoints.shrink import shrink
from plm.cli.output import examples, json_option, show
from plm.cli.sources import dtype_option, layout_option, overwrite_option


@click.command(
    epilog=examples(
        "plm shrink bert-base-chinese half --keep-layers 6",
        "plm shrink bert-base-chinese narrow --keep-layers 0,2,4,6,8,11 --dtype float16",
        "plm shrink bert-base-uncased medical --texts corpus.txt --most-frequent 8000",
    )
)
@click.argument("source")
@click.argument("destination", type=click.Path(path_type=Path))
@click.option("--keep-layers", "layers", help="How many to keep from the bottom (6), or which (0,2,4).")
@click.option("--keep-tokens", "tokens", type=click.Path(path_type=Path), help="File of tokens to keep, one a line.")
@click.option("--texts", type=click.Path(path_type=Path), help="File of texts, one a line, whose tokens are kept.")
@click.option("--most-frequent", type=click.IntRange(min=1), help="Keep only so many of the tokens in --texts.")
@click.option("--drop-characters", is_flag=True, help="Do not keep tokens of one character that are not asked for.")
@dtype_option
@layout_option
@overwrite_option
@json_option
def command(
    source: str,
    destination: Path,
    layers: str | None,
    tokens: Path | None,
    texts: Path | None,
    most_frequent: int | None,
    drop_characters: bool,
    dtype: str,
    layout: str,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Write a smaller version of the checkpoint SOURCE into the folder DESTINATION, without training.

    Removed words leave the embeddings, the output of language models and the tokenizer together; texts of the
    remaining words get the same results. Removed layers change results: fine-tune or distil afterwards.
    """
    if tokens is not None and most_frequent is not None:
        raise click.UsageError("--keep-tokens and --most-frequent: give one of them")
    report = shrink(
        source,
        destination,
        keep_layers=parse_layers(layers),
        keep_tokens=most_frequent if tokens is None else tokens,
        texts=texts,
        keep_characters=not drop_characters,
        dtype=dtype,
        layout=layout,
        overwrite=overwrite,
    )
    show(report.lines(), report.to_dict(), as_json=as_json)


def parse_layers(text: str | None) -> int | list[int] | None:
    """ "6" -> 6, "0,2,4" -> [0, 2, 4]. Raises click.BadParameter for anything else."""
    if text is None:
        return None
    try:
        numbers = [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise click.BadParameter(f"expected 6, or 0,2,4, got {text!r}", param_hint="--keep-layers") from None
    return numbers if "," in text else numbers[0]
