"""Options of commands that load a checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from plm.checkpoints.dtypes import DTYPES
from plm.checkpoints.saving import TARGETS
from plm.heads.head import HEADS
from plm.heads.model import Model  # noqa: F401 - its imports fill HEADS

head_option = click.option(
    "--head",
    "heads",
    multiple=True,
    type=click.Choice(HEADS.names()),
    help="Head to load; repeat for several. [all stored]",
)
config_option = click.option(
    "--config", type=click.Path(path_type=Path), help="Config file to use instead of the one beside the weights."
)
set_option = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="Config value that wins over the file; repeat for several.",
)
dtype_option = click.option(
    "--dtype", type=click.Choice(list(DTYPES)), default="auto", help="Type of the weights. [as stored]"
)
layout_option = click.option(
    "--to",
    "layout",
    type=click.Choice(TARGETS.names()),
    default="huggingface",
    show_default=True,
    help="Layout to write.",
)
overwrite_option = click.option("--overwrite", is_flag=True, help="Write into a folder that holds other files.")


def parse_settings(settings: tuple[str, ...]) -> dict[str, Any]:
    """`NAME=VALUE` as a dictionary. A value that is JSON (a number, true, null, a list) is read as such.

    Raises click.BadParameter for what has no "=".
    """
    values: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not (name and equals):
            raise click.BadParameter(f"expected NAME=VALUE, got {setting!r}", param_hint="--set")
        try:
            values[name] = json.loads(text)
        except ValueError:
            values[name] = text
    return values
