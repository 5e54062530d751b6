"""Options of commands that write an answer for every row of a file."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from plm.bulk import Effort, ray_engine

_OPTIONS = (
    click.option(
        "--workers", type=click.IntRange(min=0), default=0, show_default=True, help="Processes that share the cores."
    ),
    click.option(
        "--engine", type=click.Choice(["local", "ray"]), default="local", help="Who works: processes here, Ray."
    ),
    click.option("--ray-address", help="Of the Ray cluster. [the one of this machine or RAY_ADDRESS, else a new one]"),
    click.option(
        "--bad-rows",
        type=click.Choice(["error", "skip"]),
        default="error",
        show_default=True,
        help="Rows that cannot be used end the work, or are listed beside the output.",
    ),
    click.option(
        "--part-rows",
        type=click.IntRange(min=1),
        default=Effort.rows,
        show_default=True,
        help="Rows that are sorted, computed and written together.",
    ),
    click.option("--overwrite", is_flag=True, help="Replace an output that is there, or was begun with other options."),
)

BULK_OPTIONS = {
    "workers": "--workers",
    "engine": "--engine",
    "ray_address": "--ray-address",
    "bad_rows": "--bad-rows",
    "part_rows": "--part-rows",
    "overwrite": "--overwrite",
}
"""Parameter -> option."""


def bulk_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options, and their values to its parameter `effort`."""

    @functools.wraps(command)
    def with_effort(*arguments: Any, **values: Any) -> None:
        given = {name: values.pop(name) for name in BULK_OPTIONS}
        command(*arguments, **values, effort=_effort(**given))

    for option in reversed(_OPTIONS):
        with_effort = option(with_effort)
    return with_effort


def _effort(
    *, workers: int, engine: str, ray_address: str | None, bad_rows: str, part_rows: int, overwrite: bool
) -> Effort:
    if (engine == "ray" and workers) or (engine == "local" and ray_address):
        raise click.UsageError("--workers belongs to --engine local, --ray-address to --engine ray")
    return Effort(
        workers=workers,
        engine=ray_engine(ray_address) if engine == "ray" else None,
        rows=part_rows,
        refuse=bad_rows,
        overwrite=overwrite,
    )
