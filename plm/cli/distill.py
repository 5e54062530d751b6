"""`plm distill`."""

from __future__ import annotations

from pathlib import Path

import click

from plm.cli.output import examples, json_option, recipe_set_option, show
from plm.cli.sources import parse_settings
from plm.errors import ConfigError
from plm.runs.distilling import distill, read_distillation
from plm.runs.distilling.ablation import PARTS, ablate
from plm.runs.distilling.config import STAGES
from plm.training.distributed import join
from plm.training.run import EXIT_CODES


@click.command(
    epilog=examples(
        "plm distill configs/distillation/sst-2.toml --set teacher=runs/sst-2",
        "plm distill recipe.toml --stage general",
        "plm distill recipe.toml --set prediction.learning_rate=2e-5 --overwrite",
        "plm distill recipe.toml --ablate attention,hidden,augmentation",
    )
)
@click.argument("recipe", type=click.Path(path_type=Path))
@recipe_set_option
@click.option(
    "--stage", "stages", multiple=True, type=click.Choice(STAGES), help="Only this stage; repeat for several. [all]"
)
@click.option("--ablate", "parts", metavar="A,B,C", help=f"Then again without each of these: {', '.join(PARTS)}.")
@click.option("--overwrite", is_flag=True, help="Do stages anew that were asked for something else before.")
@json_option
@click.pass_context
def command(
    context: click.Context,
    recipe: Path,
    settings: tuple[str, ...],
    stages: tuple[str, ...],
    parts: str | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Distil what the TOML or JSON file RECIPE describes: a small student from its teacher, stage by stage.

    The student and an account, compared with the teacher, are written into its output_dir. Stages that are finished are
    not done again; stopped, the same command goes on where it was.
    Under torchrun several processes train together: torchrun --nproc-per-node 4 -m plm distill RECIPE
    """
    config = read_distillation(recipe, parse_settings(settings))
    if parts is not None and stages:
        raise ConfigError("--ablate: compares whole distillations; leave --stage out")
    report = (
        distill(config, stages=stages, overwrite=overwrite)
        if parts is None
        else ablate(config, parts.split(","), overwrite=overwrite)
    )
    if join().is_main:
        show(report.lines(), report.to_dict(), as_json=as_json)
    context.exit(EXIT_CODES.get(report.stopped, 0))
