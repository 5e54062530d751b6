"""`plm doctor`."""

from __future__ import annotations

import dataclasses

import click

from plm.checkpoints.doctor import examine
from plm.cli.output import examples, json_option, show


@click.command(epilog=examples("plm doctor my-model", "plm doctor my-model --json > health.json"))
@click.argument("folder")
@json_option
@click.pass_context
def command(context: click.Context, folder: str, as_json: bool) -> None:
    """Examine FOLDER and say what is wrong with it; exit status 1 when something is.

    Looks at the config, the weights and their numbers, copies of tied weights, class names, the tokenizer and its
    special tokens, permissions, and what interrupted saves left. Changes nothing.
    """
    findings = examine(folder)
    lines = [f"{finding.severity:8}{finding.check}: {finding.message}" for finding in findings]
    show(lines, [dataclasses.asdict(finding) for finding in findings], as_json=as_json)
    if any(finding.severity == "error" for finding in findings):
        context.exit(1)
