"""`plm export`."""

from __future__ import annotations

from pathlib import Path

import click

from plm.backends.exporting import BACKBONE, EXPORTS, export
from plm.cli.output import examples, json_option, show
from plm.cli.sources import overwrite_option

DTYPES = tuple(dict.fromkeys(dtype for _, row in EXPORTS.items() for dtype in row.limits))


@click.command(
    epilog=examples(
        "plm export my-classifier classifier-onnx --to onnx",
        "plm export my-classifier classifier-int8 --to int8 --dtype bfloat16",
        "plm export bert-base-chinese encoder --to pt2 --head none",
    )
)
@click.argument("source")
@click.argument("destination", type=click.Path(path_type=Path))
@click.option("--to", "form", type=click.Choice(EXPORTS.names()), required=True, help="Form to write.")
@click.option(
    "--dtype", type=click.Choice(DTYPES), help="What weights are held in; forms have some of these. [float32]"
)
@click.option(
    "--head",
    help=f"Kind or name of a head; {BACKBONE} is the backbone alone. [all, or the first where a form has one]",
)
@click.option("--no-verify", is_flag=True, help="Skip loading the result and comparing its answers with the model's.")
@overwrite_option
@json_option
def command(
    source: str,
    destination: Path,
    form: str,
    dtype: str | None,
    head: str | None,
    no_verify: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Write the checkpoint SOURCE into the folder DESTINATION in the form that a backend runs.

    SOURCE is whatever `plm convert` takes. The tokenizer goes along, and what the heads learned, so that
    `plm predict --backend` and `plm serve --backend` take the folder. Its answers are compared with those of the model
    on random texts, and nothing is written when they differ by more than the type of the weights explains.
    """
    report = export(source, destination, to=form, head=head, dtype=dtype, verify=not no_verify, overwrite=overwrite)
    show(report.lines(), report.to_dict(), as_json=as_json)
