"""A run that goes on as a longer or a shorter one: which of its phases may be others than they were, and what changed.

The phases that are over stay as they were, and so does everything about the others but their lengths. A run that was
finished is at the end of its last phase, which is not over then: it may go on, or others may follow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Phases = Sequence[Mapping[str, Any]]
"""The phases of a config as a checkpoint holds them."""

LENGTHS = ("num_train_epochs", "max_steps")
"""Settings that say how long a run is; so does `max_steps` of a phase."""


def facts_of_phase(number: int) -> str:
    """How the facts about the data of a phase begin; number: from 1."""
    return f"phase {number}: "


def phase_differences(then: Phases, now: Phases, *, update: int) -> list[str]:
    """Lines that say what of the phases is not as it was, and may not be another after so many updates."""
    differences, begin = [], 0
    for number, before in enumerate(then, 1):
        after = now[number - 1] if number <= len(now) else {}
        is_over = begin + min(before["max_steps"], after.get("max_steps", 0)) < update
        for name in dict.fromkeys([*before, *after]):
            if before.get(name) != after.get(name) and (is_over or name != "max_steps"):
                change = f"{before.get(name, 'none')} -> {after.get(name, 'none')}"
                differences.append(f"{facts_of_phase(number)}{name}: {change}")
        begin += before["max_steps"]
    return differences


def without_new_phases(facts: Mapping[str, Any], then: Phases, now: Phases) -> dict[str, Any]:
    """Facts of the data, but for those of phases that were added."""
    added = tuple(facts_of_phase(number) for number in range(len(then) + 1, len(now) + 1)) if then else ()
    return {name: fact for name, fact in facts.items() if not name.startswith(added)} if added else dict(facts)


def length_changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Lines that say how a run is longer or shorter than it was. then, now: its settings."""
    changes = [f"{name}: {then.get(name)} -> {now[name]}" for name in LENGTHS if then.get(name) != now[name]]
    counts = len(then.get("lr_phases", ())), len(now["lr_phases"])
    return [*changes, f"phases: {counts[0]} -> {counts[1]}"] if counts[0] != counts[1] else changes
