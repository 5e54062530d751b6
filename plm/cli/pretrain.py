"""`plm pretrain`."""

from __future__ import annotations

from pathlib import Path

import click

from plm.cli.output import examples, json_option, recipe_set_option, show
from plm.cli.sources import overwrite_option, parse_settings
from plm.runs.divergence import DIVERGED
from plm.runs.pretraining import pretrain
from plm.runs.pretraining_config import read_pretraining
from plm.training.distributed import join


@click.command(
    epilog=examples(
        "plm pretrain configs/pretraining/bert-tiny.toml --set corpus.train=wiki --set corpus.dev=wiki-dev",
        "plm pretrain recipe.toml --set phases.0.max_steps=10 --set training.precision=bf16",
        "plm pretrain recipe.toml --set model=bert-base-chinese",
        "plm pretrain recipe.toml --resume",
    )
)
@click.argument("recipe", type=click.Path(path_type=Path))
@recipe_set_option
@click.option("--resume", is_flag=True, help="Go on from the newest whole checkpoint (see training.save_strategy).")
@overwrite_option
@json_option
@click.pass_context
def command(
    context: click.Context, recipe: Path, settings: tuple[str, ...], resume: bool, overwrite: bool, as_json: bool
) -> None:
    """Pretrain what the TOML or JSON file RECIPE describes, and write the model and an account into its output_dir.

    The corpus is what `plm prepare-corpus` wrote. The model begins from scratch, or goes on from a checkpoint. A run
    whose loss is lost ends with exit status 1.
    Under torchrun several processes train together: torchrun --nproc-per-node 4 -m plm pretrain RECIPE
    """
    config = read_pretraining(recipe, parse_settings(settings) | ({"training.resume": "auto"} if resume else {}))
    report = pretrain(config, overwrite=overwrite)
    if join().is_main:
        show(report.lines(), report.to_dict(), as_json=as_json)
    context.exit(report.training.exit_code or int(report.training.stopped == DIVERGED))
