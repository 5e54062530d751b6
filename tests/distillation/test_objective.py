"""An objective can stand in a recipe file, and refuses what has no meaning."""

from __future__ import annotations

from typing import Any

import pytest

from plm.config import from_dict, to_dict
from plm.distillation import INTERMEDIATE, PREDICTION, Objective
from plm.errors import ConfigError, UnknownNameError


def test_it_goes_through_a_file_and_back() -> None:
    objective = Objective(teacher_layers=(0, 4), temperature=2.0, reduction="noah")
    assert from_dict(Objective, to_dict(objective)) == objective


def test_tinyberts_stages_look_inside_and_then_at_predictions() -> None:
    assert INTERMEDIATE.looks_inside
    assert not INTERMEDIATE.prediction
    assert not PREDICTION.looks_inside
    assert PREDICTION.prediction == 1.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden": -1.0}, "hidden: expected a weight of at least 0, got -1.0"),
        ({"attention": 0.0, "hidden": 0.0, "embedding": 0.0}, "all weights are 0"),
        ({"temperature": 0.0}, "temperature: expected a positive number"),
        ({"reduction": "sum"}, "reduction: 'sum' is not one of 'mean', 'noah'"),
    ],
)
def test_values_without_meaning_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Objective(**changes)
    with pytest.raises(UnknownNameError, match="did you mean 'bottom'"):
        Objective(layers="botom")
