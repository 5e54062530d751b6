"""`plm inspect`."""

from __future__ import annotations

from pathlib import Path

import click

from plm.checkpoints.inspection import inspect
from plm.cli.output import examples, json_option, show
from plm.cli.sources import config_option, head_option, parse_settings, set_option


@click.command(
    epilog=examples(
        "plm inspect bert-base-chinese",
        "plm inspect model.ckpt-1000 --tensors",
        "plm inspect broken-download --json",
    )
)
@click.argument("source")
@head_option
@config_option
@set_option
@click.option("--tensors", is_flag=True, help="List every tensor with its place in the model.")
@json_option
def command(
    source: str, heads: tuple[str, ...], config: Path | None, settings: tuple[str, ...], tensors: bool, as_json: bool
) -> None:
    """Show what is in the checkpoint SOURCE: family, layout, sizes, heads, and what is missing or unknown.

    Works for checkpoints that cannot be loaded too, and says why they cannot.
    """
    report = inspect(source, heads=heads or None, config=config, overrides=parse_settings(settings))
    show(report.lines(every_tensor=tensors), report.to_dict(), as_json=as_json)
