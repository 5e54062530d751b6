"""The phases of a pretraining as epochs of one training: each as long as its updates take, over its own batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from plm.data.fingerprint import facts
from plm.errors import DataError
from plm.training import Batch
from plm.training.lengthening import facts_of_phase
from plm.training.shares import Indexable

# Passes of a phase are numbered from a multiple of this, so that no two phases shuffle and mask alike.
_PASSES = 1_000_000


class Passes(Protocol):
    """Batches of which any pass can be indexed, and costs nothing while no other is asked for, as CorpusBatches."""

    def __len__(self) -> int:
        """Batches of the first pass."""
        ...

    def epoch(self, number: int, /) -> Indexable:
        """Pass `number`, the same whenever it is asked for."""
        ...


class PhaseBatches:
    """What a Trainer reads: epoch k is phase k.

    phases: the batches of each. lengths: how many of them it takes. When a pass over them is through, the next one
    comes, shuffled anew.
    batches_per_update: of each; None = as the training says.
    """

    def __init__(
        self,
        phases: Sequence[Passes],
        lengths: Sequence[int],
        *,
        batches_per_update: Sequence[int | None] | None = None,
    ) -> None:
        self.phases, self.lengths = tuple(phases), tuple(lengths)
        self.batches_per_update = tuple(batches_per_update or [None] * len(phases))
        self.sizes = tuple(map(len, phases))
        if not all(self.sizes):
            raise DataError("the corpus gives no batch to train on")

    def __len__(self) -> int:
        """Batches of the first phase."""
        return self.lengths[0]

    def epoch(self, number: int) -> PhaseEpoch:
        """Phase `number`, from 0."""
        return PhaseEpoch(
            self.phases[number],
            self.lengths[number],
            self.sizes[number],
            number * _PASSES,
            self.batches_per_update[number],
        )

    def fingerprint(self) -> dict[str, int | str]:
        """Facts that tell the texts and batches of all phases from others."""
        told: dict[str, int | str] = {}
        for number, (batches, per_update) in enumerate(zip(self.phases, self.batches_per_update, strict=True), 1):
            told |= facts(batches, of=facts_of_phase(number))
            if per_update is not None:
                told[f"{facts_of_phase(number)}batches in an update"] = per_update
        return told


@dataclass(frozen=True)
class PhaseEpoch:
    """The batches of a phase, made when they are asked for: len(), iteration, and epoch[number].

    Every pass counts as many batches as the very first, so that any one of them is found without those before it. A
    pass may have a few more or less: then it ends early, or some of its batches come again at its end.
    """

    batches: Passes
    length: int
    pass_size: int
    first_pass: int
    batches_per_update: int | None = None

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, number: int) -> Batch:
        if not 0 <= number < self.length:
            raise IndexError(f"batch {number} of {self.length}")
        passes, place = divmod(number, self.pass_size)
        made = self.batches.epoch(self.first_pass + passes)
        return made[place % len(made)]

    def __iter__(self) -> Iterator[Batch]:
        return (self[number] for number in range(self.length))
