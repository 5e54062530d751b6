"""Whoever makes the batches, and however far ahead: it is the same training, and nobody stays behind."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from plm.errors import DataError, TrainingError
from plm.training import Trainer
from plm.training.ahead import Ahead
from plm.training.course import Course, Place
from plm.training.distributed import Processes
from plm.training.shares import asked_for, shares
from tests.training.resumable import assert_same, finished, outcome
from tests.training.tiny import TinyBatches, TinyModel, config, examples, weights

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")


@dataclass
class Made:
    """Five batches, each with its number and the process that made it; number `bad` goes wrong."""

    bad: int | None = None

    def __len__(self) -> int:
        return 5

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        return (self[number] for number in range(5))

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        if number == self.bad:
            raise DataError(f"batch {number}: the file is not what it was")
        return {"number": torch.tensor(number), "process": torch.tensor(os.getpid())}


class Pinned(TinyBatches):
    """Epochs with an index, which tell who made a batch."""

    def __len__(self) -> int:
        return 5

    def epoch(self, number: int) -> Made:  # type: ignore[override]
        return Made()


def nobody_is_left() -> bool:
    return not multiprocessing.active_children()


def test_batches_are_those_asked_for_and_made_by_others() -> None:
    ahead = Ahead(Made(), [0, 2, 4], workers=2)
    numbers = [int(ahead[number]["number"]) for number in (0, 2, 4)]
    ahead.stop()
    assert numbers == [0, 2, 4]
    assert nobody_is_left()


def test_a_batch_that_nobody_expected_is_made_here() -> None:
    ahead = Ahead(Made(), [0, 1], workers=1)
    batches = [ahead[number] for number in (0, 0, 3, 1)]
    ahead.stop()
    assert [int(batch["number"]) for batch in batches] == [0, 0, 3, 1]
    assert [int(batch["process"]) == os.getpid() for batch in batches] == [False, True, True, False]


@pytest.mark.parametrize("in_step", [False, True])
@pytest.mark.parametrize("rank", [0, 1, 2])
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_a_process_expects_what_it_will_ask_for(count: int, rank: int, in_step: bool) -> None:
    asked: list[int] = []

    class Spied(list[dict[str, Tensor]]):
        def __getitem__(self, number: int) -> dict[str, Tensor]:  # type: ignore[override]
            asked.append(number)
            return super().__getitem__(number)

    processes = Processes(rank=rank, count=3)
    shares(Spied({"input_ids": torch.ones(4, 2)} for _ in range(count)), processes, in_step=in_step)
    assert asked_for(count, processes, in_step=in_step) == list(dict.fromkeys(asked))


def test_in_the_middle_of_an_epoch_only_the_rest_is_made() -> None:
    course = Course(Pinned(), config(batch_workers=1, gradient_accumulation_steps=2), lambda count: range(count)[-1:])
    groups = course.groups(Place(0, 2))
    last = [next(groups).batches[-1] for _ in range(2)]
    groups.close()
    assert [int(batch["number"]) for batch in last] == [3, 4]
    assert all(int(batch["process"]) != os.getpid() for batch in last)
    assert nobody_is_left()


def test_training_is_the_same_and_leaves_random_states_alone() -> None:
    trained = []
    for workers in (0, 2):
        model = TinyModel(dropout=0.2)
        torch.manual_seed(5)
        Trainer(model, config(batch_workers=workers), batches=TinyBatches(), callbacks=[]).train()
        trained.append({**weights(model), "next": torch.rand(3)})
    assert all(torch.equal(trained[0][name], trained[1][name]) for name in trained[0])
    assert nobody_is_left()


def test_killed_in_the_middle_of_an_epoch_it_ends_with_the_same_bits(tmp_path: Path) -> None:
    assert finished(tmp_path / "whole", {}) == 0
    assert finished(tmp_path / "killed", {"batch_workers": 2}, ("SIGKILL", 5)) == -signal.SIGKILL
    assert finished(tmp_path / "killed", {"batch_workers": 1}, ("SIGTERM", 4)) == 143
    assert finished(tmp_path / "killed", {"batch_workers": 2}) == 0
    assert_same(outcome(tmp_path / "whole"), outcome(tmp_path / "killed"))


def test_what_goes_wrong_in_a_process_is_told_as_if_it_had_been_here() -> None:
    ahead = Ahead(Made(bad=1), [0, 1], workers=1)
    assert int(ahead[0]["number"]) == 0
    with pytest.raises(DataError, match="batch 1: the file is not what it was"):
        ahead[1]
    ahead.stop()


def test_a_process_that_dies_is_told_of() -> None:
    class Deadly(Made):
        def __getitem__(self, number: int) -> dict[str, Tensor]:
            if number == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            return examples(torch.arange(8))

    class Batches(TinyBatches):
        def epoch(self, number: int) -> Deadly:  # type: ignore[override]
            return Deadly()

    with pytest.raises(TrainingError, match=r"a process that makes batches has died.*with fewer batch_workers"):
        Trainer(TinyModel(), config(batch_workers=1), batches=Batches(), callbacks=[]).train()
    assert nobody_is_left()


def test_batches_without_an_index_are_refused() -> None:
    class Stream(TinyBatches):
        def epoch(self, number: int) -> Iterator[dict[str, Tensor]]:  # type: ignore[override]
            return iter(super().epoch(number))

    with pytest.raises(TrainingError, match="batch_workers: 1 processes cannot share list_iterator"):
        Trainer(TinyModel(), config(batch_workers=1), batches=Stream(), callbacks=[]).train()
