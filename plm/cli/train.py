"""`plm train`."""

from __future__ import annotations

from pathlib import Path

import click

from plm.cli.output import examples, json_option, recipe_set_option, show
from plm.cli.sources import overwrite_option, parse_settings
from plm.errors import ConfigError
from plm.runs import RunConfig, read_run, train
from plm.runs.sweep import parse_grid, sweep
from plm.training.distributed import join


@click.command(
    epilog=examples(
        "plm train configs/runs/tagging/snips.toml",
        "plm train run.toml --set training.lr=3e-5 --set output_dir=runs/warmer",
        "plm train run.toml --resume",
        "plm train run.toml --seeds 1,2,3",
        "plm train run.toml --grid training.learning_rate=2e-5,5e-5 --grid task.batch_size=16,32 --seeds 1,2",
    )
)
@click.argument("recipe", type=click.Path(path_type=Path))
@recipe_set_option
@click.option("--seeds", metavar="1,2,3", help="Run once for each seed; print mean and deviation.")
@click.option("--grid", multiple=True, metavar="NAME=A,B,C", help="Run once for each value; repeat for combinations.")
@click.option("--resume", is_flag=True, help="Go on from the newest whole checkpoint (see training.save_strategy).")
@overwrite_option
@json_option
@click.pass_context
def command(
    context: click.Context,
    recipe: Path,
    settings: tuple[str, ...],
    seeds: str | None,
    grid: tuple[str, ...],
    resume: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Train what the TOML or JSON file RECIPE describes, and write the best model and an account into its output_dir.

    With --seeds or --grid every run writes into a folder of its own below output_dir.
    Under torchrun several processes train together: torchrun --nproc-per-node 4 -m plm train RECIPE
    """
    config = read_run(recipe, parse_settings(settings) | ({"training.resume": "auto"} if resume else {}))
    if seeds is None and not grid:
        run_and_show(context, config, overwrite=overwrite, as_json=as_json)
        return
    report = sweep(config, grid=parse_grid(grid), seeds=_numbers(seeds), overwrite=overwrite)
    if join().is_main:
        show(report.lines(), report.to_dict(), as_json=as_json)


def run_and_show(context: click.Context, config: RunConfig, *, overwrite: bool, as_json: bool) -> None:
    """Train, print the account, and end with the exit status of a program that a signal stopped if one did."""
    report = train(config, overwrite=overwrite)
    if join().is_main:
        show(report.lines(), report.to_dict(), as_json=as_json)
    context.exit(report.training.exit_code)


def _numbers(text: str | None) -> tuple[int, ...]:
    if text is None:
        return ()
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"--seeds: expected whole numbers with commas between them, got {text!r}") from error
