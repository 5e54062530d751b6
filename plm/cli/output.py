"""How commands print: lines for people, or JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import click

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of lines.")


recipe_set_option = click.option(
    "--set", "settings", multiple=True, metavar="TABLE.NAME=VALUE", help="A value that wins over the file."
)


def show(lines: Iterable[str], values: Any, *, as_json: bool) -> None:
    """Print one or the other. values: what json.dumps takes."""
    click.echo(json.dumps(values, indent=2, ensure_ascii=False) if as_json else "\n".join(lines))


def examples(*lines: str) -> str:
    """The end of a help text: command lines as they are typed."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
