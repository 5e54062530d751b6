"""`plm poem-evaluate`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from plm.cli.output import examples
from plm.config import write_text
from plm.data.division import is_held_out
from plm.data.tables import read_lines
from plm.generation.poem_evaluation import evaluate_poet
from plm.generation.poet import EMBEDDED, Poet
from plm.poetry.cleaning import clean_poems


@click.command(
    name="poem-evaluate",
    epilog=examples(
        "plm poem-evaluate --samples 100",
        "plm poem-evaluate runs/poet --poems poetry.txt --held-out 0.02 --output poet.md",
    ),
)
@click.argument("model", default=EMBEDDED)
@click.option("--samples", type=click.IntRange(min=2), default=1000, show_default=True, help="Poems of each form.")
@click.option("--poems", type=click.Path(path_type=Path), help="Real ones, title:poem a line.")
@click.option(
    "--held-out", type=click.FloatRange(0, 1), default=0.0, help="Share of them that MODEL did not learn from."
)
@click.option("--book", default="pingshui", show_default=True, help="Rhyme book.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the first poem; the others follow.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="File to write. [standard output]")
def command(
    model: str,
    samples: int,
    poems: Path | None,
    held_out: float,
    book: str,
    seed: int,
    as_json: bool,
    output: Path | None,
) -> None:
    """Let a poet write poems of every form, and judge them beside real ones.

    --held-out is that of the recipe the model was trained by: these poems alone show how often people write a known
    line by chance, and how well the model foresees them.
    """
    human = clean_poems(read_lines(poems)).poems if poems else ()
    report = evaluate_poet(
        Poet.from_pretrained(model),
        samples=samples,
        human=human,
        unseen=[poem for poem in human if is_held_out(poem.body, held_out)],
        book=book,
        seed=seed,
    )
    text = json.dumps(report.to_dict(), indent=2, ensure_ascii=False) if as_json else str(report)
    if output is None:
        click.echo(text)
    else:
        write_text(output, f"{text}\n")
