"""The course of a run: which batches form which update, from any place in the data on."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from typing import Protocol

from plm.errors import TrainingError
from plm.training.ahead import made_ahead
from plm.training.config import TrainingConfig
from plm.training.shares import in_groups
from plm.training.step import Batch


class TrainingBatches(Protocol):
    """What to train on; plm.data.Batches is one.

    If it also has `fingerprint() -> Mapping[str, int | str]`, facts that change with the data, a run is not continued
    on other data. If it has state_dict and load_state_dict, checkpoints hold its state.
    """

    def __len__(self) -> int:
        """Batches of an epoch."""
        ...

    def epoch(self, number: int) -> Iterable[Batch]:
        """Pass `number` over the data, from 0, the same whenever it is asked for.

        If it has a length, that one counts instead of len(batches). If it can be indexed, a run that is continued in
        the middle of it does not make the batches before. If it has `batches_per_update`, and not None, that one counts
        instead of config.gradient_accumulation_steps.
        """
        ...


@dataclass(frozen=True)
class Place:
    """Where in the data a run stands: epoch number `epoch`, from 0, of which `batch` batches are done."""

    epoch: int = 0
    batch: int = 0


START = Place()


@dataclass(frozen=True)
class Group:
    """The batches of one update. After it: epoch, passes over the data, with fraction, and place.

    closes_epoch: True = the last of its epoch.
    """

    batches: Sequence[Batch]
    epoch: float
    place: Place
    closes_epoch: bool


class Course:
    """Updates over batches, epoch after epoch.

    wanted: how many batches an update has -> which of them this process asks for; None = all.
    """

    def __init__(
        self, batches: TrainingBatches, config: TrainingConfig, wanted: Callable[[int], Sequence[int]] | None = None
    ) -> None:
        self.batches, self.config, self.wanted = batches, config, wanted or range

    def planned_updates(self) -> int:
        """Updates of the whole run. Raises TrainingError when there are no batches."""
        if self.config.max_steps is not None:
            return self.config.max_steps
        whole = int(self.config.num_train_epochs)
        part = math.ceil((self.config.num_train_epochs - whole) * self._updates_of(self.batches.epoch(whole)))
        planned = part + sum(self._updates_of(self.batches.epoch(epoch)) for epoch in range(whole))
        if planned == 0:
            raise TrainingError("nothing to train on: there are no batches")
        return planned

    def groups(self, start: Place) -> Generator[Group]:
        """The batches of every update from a place on, without end; no update crosses the border of an epoch.

        Raises TrainingError when an epoch has no batches.
        """
        for epoch in itertools.count(start.epoch):
            source = self.batches.epoch(epoch)
            size = self._size(source)
            count, done = self._count(source), start.batch if epoch == start.epoch else 0
            updates, number = math.ceil(count / size), done // size
            coming = self._coming(range(done, count, size), count)
            with made_ahead(source, coming, workers=self.config.batch_workers) as made:
                for group in in_groups(made, size, start=done):
                    number, done = number + 1, done + len(group)
                    yield Group(group, epoch + min(1.0, number / updates), Place(epoch, done), number == updates)
            if number == 0:
                raise TrainingError(f"nothing to train on: epoch {epoch} has no batches")

    def _coming(self, updates: range, count: int) -> Iterator[int]:
        """The batches of an epoch that this process will ask for. updates: the first batch of each."""
        return (first + number for first in updates for number in self.wanted(min(updates.step, count - first)))

    def _size(self, epoch: Iterable[Batch]) -> int:
        """Batches of an update."""
        own: int | None = getattr(epoch, "batches_per_update", None)
        return self.config.gradient_accumulation_steps if own is None else own

    def _count(self, epoch: Iterable[Batch]) -> int:
        return len(epoch) if isinstance(epoch, Sized) else len(self.batches)

    def _updates_of(self, epoch: Iterable[Batch]) -> int:
        return math.ceil(self._count(epoch) / self._size(epoch))
