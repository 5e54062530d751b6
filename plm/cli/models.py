"""`plm models`."""

from __future__ import annotations

import dataclasses

import click

from plm.checkpoints.catalogue import KnownModel, known_models
from plm.cli.output import examples, json_option, show


@click.command(epilog=examples("plm models", "plm models --family nezha", "plm models --language zh --json"))
@click.option("--family", help="Only this family: bert, nezha, tinybert, openai-gpt.")
@click.option("--language", help="Only this language: en, zh, multilingual.")
@json_option
def command(family: str | None, language: str | None, as_json: bool) -> None:
    """List checkpoints that are known to exist, those inside the package first.

    Any other name on the Hugging Face hub, and any folder, can be loaded as well.
    """
    chosen = [
        model for model in known_models() if family in (None, model.model_type) and language in (None, model.language)
    ]
    show(_table(chosen), [dataclasses.asdict(model) for model in chosen], as_json=as_json)


def _table(models: list[KnownModel]) -> list[str]:
    rows = [("name", "family", "layers", "hidden", "language", "licence")]
    for model in models:
        sizes = (str(model.num_hidden_layers), str(model.hidden_size))
        rows.append((model.name, model.model_type, *sizes, model.language or "-", model.licence or "-"))
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
