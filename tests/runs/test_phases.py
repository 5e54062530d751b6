"""Phases are as long as their updates take, and every pass in them is another one."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from plm.errors import DataError
from plm.runs.phases import PhaseBatches
from plm.training import TrainingConfig
from plm.training.course import START, Course


class Numbered:
    """Passes of `size` batches, or so many less or more as `extra` says by the number of the pass."""

    def __init__(self, size: int, extra: dict[int, int] | None = None) -> None:
        self.size, self.extra = size, extra or {}

    def __len__(self) -> int:
        return self.size

    def epoch(self, number: int) -> list[dict[str, Tensor]]:
        return [{"labels": torch.tensor([number, place])} for place in range(self.size + self.extra.get(number, 0))]

    def fingerprint(self) -> dict[str, int | str]:
        return {"size": self.size}


def seen(batches: PhaseBatches, phase: int) -> list[tuple[int, int]]:
    """Number of the pass and of the batch in it, of every batch of a phase."""
    return [tuple(batch["labels"].tolist()) for batch in batches.epoch(phase)]  # type: ignore[misc]


def test_a_phase_goes_through_as_many_passes_as_it_takes_and_ends_in_the_middle_of_one() -> None:
    batches = PhaseBatches([Numbered(3), Numbered(2)], [7, 5])
    assert (len(batches), len(batches.epoch(0)), len(batches.epoch(1))) == (7, 7, 5)
    assert seen(batches, 0) == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0)]


def test_no_two_phases_have_the_same_passes() -> None:
    batches = PhaseBatches([Numbered(3), Numbered(3)], [9, 9])
    assert {number for number, _ in seen(batches, 0)}.isdisjoint(number for number, _ in seen(batches, 1))


def test_any_batch_is_the_same_whatever_was_asked_for_before() -> None:
    batches = PhaseBatches([Numbered(3, {1: 1, 2: -1})], [12])
    whole = seen(batches, 0)
    for place in (11, 0, 5, 8, 4):
        assert tuple(batches.epoch(0)[place]["labels"].tolist()) == whole[place]
    with pytest.raises(IndexError):
        batches.epoch(0)[12]


def test_passes_of_other_sizes_leave_the_place_of_all_others_as_it_is() -> None:
    batches = PhaseBatches([Numbered(3, {0: 0, 1: 1, 2: -1})], [12])
    assert seen(batches, 0)[3:] == [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 0), (3, 0), (3, 1), (3, 2)]


def test_facts_of_all_phases_tell_them_from_others() -> None:
    batches = PhaseBatches([Numbered(3), Numbered(2)], [7, 5])
    assert batches.fingerprint() == {"phase 1: size": 3, "phase 2: size": 2}


def test_a_phase_has_batches_of_an_update_of_its_own_or_those_of_the_training() -> None:
    batches = PhaseBatches([Numbered(3), Numbered(2)], [6, 6], batches_per_update=[None, 3])
    course = Course(batches, TrainingConfig(gradient_accumulation_steps=2))
    groups = list(itertools.islice(course.groups(START), 5))
    assert [len(group.batches) for group in groups] == [2, 2, 2, 3, 3]
    assert [group.epoch for group in groups] == pytest.approx([1 / 3, 2 / 3, 1, 1.5, 2])
    assert [group.closes_epoch for group in groups] == [False, False, True, False, True]
    (after,) = itertools.islice(course.groups(groups[3].place), 1)
    assert (len(after.batches), after.place) == (3, groups[4].place)
    assert batches.fingerprint()["phase 2: batches in an update"] == 3
    assert "phase 1: batches in an update" not in batches.fingerprint()


def test_a_corpus_without_batches_is_refused() -> None:
    with pytest.raises(DataError, match="gives no batch"):
        PhaseBatches([Numbered(3), Numbered(0)], [7, 5])
