"""`plm score`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from plm.cli.output import examples
from plm.data.predictions import EVALUATORS, score_predictions


@click.command(
    epilog=examples(
        "plm score squad dev-v1.1.json predictions.json",
        "plm score squad dev-v2.0.json predictions.json --na-probs null_odds.json",
        "plm score cmrc cmrc2018_dev.json predictions.json",
    )
)
@click.argument("evaluator", type=click.Choice(list(EVALUATORS)))
@click.argument("data", type=click.Path(path_type=Path))
@click.argument("predictions", type=click.Path(path_type=Path))
@click.option(
    "--na-probs", type=click.Path(path_type=Path), help="Id -> how much speaks for no answer: odds or probabilities."
)
@click.option("--threshold", type=float, default=1.0, show_default=True, help="Odds above it mean: no answer.")
def command(evaluator: str, data: Path, predictions: Path, na_probs: Path | None, threshold: float) -> None:
    """Score the answers in PREDICTIONS (JSON, id -> text) to the questions in DATA, as the official evaluator does.

    EVALUATOR is squad (the version that DATA is of), squad1, squad2 or cmrc. Prints JSON with the official names, in
    percent; with --na-probs also the best thresholds.
    """
    scores = score_predictions(data, predictions, evaluator=evaluator, null_odds=na_probs, threshold=threshold)
    click.echo(json.dumps(scores, indent=2))
