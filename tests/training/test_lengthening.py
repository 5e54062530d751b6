"""A run may be made longer or shorter where nothing that is behind it would have been otherwise."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from plm.training import Phase
from plm.training.lengthening import length_changes, phase_differences, without_new_phases


def phase(max_steps: int, **changes: Any) -> dict[str, Any]:
    return dataclasses.asdict(Phase(max_steps=max_steps, **{"learning_rate": 1e-3, **changes}))


TWO = [phase(5), phase(4)]


@pytest.mark.parametrize(
    ("now", "update"),
    [
        (TWO, 9),
        ([phase(5), phase(7)], 9),  # finished, and the last one goes on
        ([phase(5), phase(4), phase(3, learning_rate=1e-2)], 9),  # or another one follows
        ([phase(5), phase(6), phase(3)], 9),
        ([phase(5), phase(2)], 7),  # shorter, down to where it is
        ([phase(8), phase(4)], 5),  # the next one has not begun
        ([phase(3), phase(9)], 2),
    ],
)
def test_what_is_ahead_may_be_longer_or_shorter(now: list[dict[str, Any]], update: int) -> None:
    assert phase_differences(TWO, now, update=update) == []


@pytest.mark.parametrize(
    ("now", "update", "expected"),
    [
        ([phase(6), phase(4)], 6, ["phase 1: max_steps: 5 -> 6"]),
        ([phase(5), phase(2)], 8, ["phase 2: max_steps: 4 -> 2"]),
        ([phase(5), phase(4, learning_rate=2e-3)], 5, ["phase 2: learning_rate: 0.001 -> 0.002"]),
        ([phase(5), phase(9, warmup_ratio=0.5)], 9, ["phase 2: warmup_ratio: 0.0 -> 0.5"]),
    ],
)
def test_what_is_behind_and_all_but_lengths_may_not(
    now: list[dict[str, Any]], update: int, expected: list[str]
) -> None:
    assert phase_differences(TWO, now, update=update) == expected


def test_phases_may_not_be_left_out() -> None:
    assert "phase 2: learning_rate: 0.001 -> none" in phase_differences(TWO, TWO[:1], update=5)


def test_facts_of_added_phases_are_no_difference() -> None:
    facts = {"phase 1: size": 3, "phase 2: size": 2, "phase 3: size": 1, "evaluation: size": 1}
    assert without_new_phases(facts, TWO, [*TWO, phase(1)]) == {
        name: fact for name, fact in facts.items() if name != "phase 3: size"
    }
    assert without_new_phases(facts, TWO, TWO) == facts
    assert without_new_phases(facts, [], []) == facts


def test_what_changed_is_said() -> None:
    then = {"max_steps": 9, "num_train_epochs": 3.0, "lr_phases": TWO}
    now = {**then, "max_steps": 12, "lr_phases": [*TWO, phase(3)]}
    assert length_changes(then, now) == ["max_steps: 9 -> 12", "phases: 2 -> 3"]
    assert length_changes(then, then) == []
