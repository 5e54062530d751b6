"""`plm convert`."""

from __future__ import annotations

from pathlib import Path

import click

from plm.checkpoints.conversion import convert
from plm.checkpoints.saving import DEFAULT_SHARD_SIZE
from plm.cli.output import examples, json_option, show
from plm.cli.sources import (
    config_option,
    dtype_option,
    head_option,
    layout_option,
    overwrite_option,
    parse_settings,
    set_option,
)


@click.command(
    epilog=examples(
        "plm convert chinese_L-12_H-768_A-12 bert-base-chinese --verify",
        "plm convert huawei-noah/TinyBERT_4L_zh tinybert-zh",
        "plm convert my-classifier for-tensorflow --to google-tf1",
        "plm convert ner.ckpt tagger --head token_classification --config bert_config.json",
    )
)
@click.argument("source")
@click.argument("destination", type=click.Path(path_type=Path))
@layout_option
@head_option
@config_option
@set_option
@dtype_option
@click.option("--shard-size", type=int, default=DEFAULT_SHARD_SIZE, help="Bytes a file of a large model. [5 GiB]")
@click.option("--verify", is_flag=True, help="Read the result back; compare every tensor and every head's outputs.")
@overwrite_option
@json_option
def command(
    source: str,
    destination: Path,
    layout: str,
    heads: tuple[str, ...],
    config: Path | None,
    settings: tuple[str, ...],
    dtype: str,
    shard_size: int,
    verify: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Write the checkpoint SOURCE into the folder DESTINATION in another layout.

    SOURCE is a folder, a weight file, the prefix of a TensorFlow checkpoint, or a name on the Hugging Face hub, of any
    framework that plm reads. Every stored head and the tokenizer go along. Nothing is written when anything fails.
    """
    report = convert(
        source,
        destination,
        layout=layout,
        heads=heads or None,
        config=config,
        overrides=parse_settings(settings),
        dtype=dtype,
        max_shard_size=shard_size,
        verify=verify,
        overwrite=overwrite,
    )
    show(report.lines(), report.to_dict(), as_json=as_json)
