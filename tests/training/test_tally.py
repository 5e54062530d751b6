"""Means over several batches, whatever losses each of them has."""

from __future__ import annotations

import pytest
import torch

from plm.errors import TrainingError
from plm.training.step import StepResult
from plm.training.tally import Tally

NORM = torch.tensor(2.0)


def number(value: float) -> torch.Tensor:
    return torch.tensor(value, requires_grad=True)


def test_every_loss_is_a_mean_over_its_own_weights() -> None:
    tally = Tally([{"a": 1, "b": 4}, {"a": 3}])
    parts = [tally.add(StepResult({"a": number(2.0), "b": number(5.0)})), tally.add(StepResult({"a": number(4.0)}))]
    assert [part.item() for part in parts if part is not None] == [2.0 / 4 + 5.0, 4.0 * 3 / 4]
    assert tally.values(NORM) == {"loss": 3.5 + 5.0, "a": 3.5, "b": 5.0, "grad_norm": 2.0}


@pytest.mark.parametrize(("name", "shown"), [("loss", {}), ("slots", {"slots": 1.5})])
def test_a_single_loss_is_shown_if_it_has_a_name_of_its_own(name: str, shown: dict[str, float]) -> None:
    tally = Tally([{name: 2}])
    tally.add(StepResult({name: number(1.5)}))
    assert tally.values(NORM) == {"loss": 1.5, **shown, "grad_norm": 2.0}


def test_a_part_named_as_the_whole_is_logged_as_that_of_the_task() -> None:
    tally = Tally([{"loss": 1, "extra": 1}])
    tally.add(StepResult({"loss": number(1.0), "extra": number(2.0)}))
    assert tally.values(NORM) == {"loss": 3.0, "task_loss": 1.0, "extra": 2.0, "grad_norm": 2.0}


def test_a_mean_over_nothing_counts_nothing() -> None:
    tally = Tally([{"a": 0}, {"a": 2}])
    assert tally.add(StepResult({"a": number(float("nan"))})) is None
    tally.add(StepResult({"a": number(1.0)}))
    assert tally.values(NORM)["loss"] == 1.0


def test_an_update_without_any_labels_has_loss_zero() -> None:
    tally = Tally([{"a": 0}])
    tally.add(StepResult({"a": number(float("nan"))}))
    assert tally.values(NORM)["loss"] == 0.0


def test_logs_are_means_over_what_the_loss_before_the_dot_or_the_first_one_is() -> None:
    tally = Tally([{"a": 1, "b": 3}, {"a": 1, "b": 1}])
    for value in (0.0, 1.0):
        tally.add(StepResult({"a": number(0.0), "b": number(0.0)}, {"b.right": value, "right": torch.tensor(value)}))
    values = tally.values(NORM)
    assert values["b.right"] == 0.25
    assert values["right"] == 0.5


def test_a_step_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(TrainingError, match=r"weighed the losses 'a' and returned 'b': weigh"):
        Tally([{"a": 1}]).add(StepResult({"b": number(0.0)}))
    with pytest.raises(TrainingError, match=r"the step logs 'grad_norm', which is the name of a loss"):
        Tally([{"a": 1}]).add(StepResult({"a": number(0.0)}, {"grad_norm": 1.0}))
