"""`plm score` prints what the official evaluators print."""

from __future__ import annotations

import json

from click.testing import CliRunner

from plm.cli.score import command
from tests.reading import GOLDEN


def test_scores_are_json_with_the_official_names() -> None:
    arguments = ["squad", GOLDEN / "questions.json", GOLDEN / "v2_predictions.json"]
    result = CliRunner().invoke(command, [*map(str, arguments), "--na-probs", str(GOLDEN / "v2_null_odds.json")])
    assert result.exit_code == 0, result.output
    scores = json.loads(result.stdout)
    assert list(scores) == [
        *("exact", "f1", "total"),
        *("HasAns_exact", "HasAns_f1", "HasAns_total"),
        *("NoAns_exact", "NoAns_f1", "NoAns_total"),
        *("best_exact", "best_exact_thresh", "best_f1", "best_f1_thresh"),
    ]
    assert scores["total"] == 9


def test_an_evaluator_that_is_not_there_is_a_usage_error() -> None:
    result = CliRunner().invoke(command, ["rouge", "a", "b"])
    assert result.exit_code == 2
    assert "'squad', 'squad1', 'squad2', 'cmrc'" in result.stderr
