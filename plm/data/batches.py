"""Features as batches of tensors, epoch by epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from torch import Tensor

from plm.data.fingerprint import digest, sample
from plm.data.plan import BatchPlan

Item = TypeVar("Item")

Vary = Callable[[Sequence[Item], int], Sequence[Item]]


@dataclass(frozen=True)
class Epoch(Generic[Item]):
    """The batches of one pass over the data, made when they are asked for: len(), iteration, and epoch[number]."""

    features: Sequence[Item]
    plan: BatchPlan
    collate: Callable[[Sequence[Item]], dict[str, Tensor]]
    number: int = 0
    vary: Vary[Item] | None = None

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        chosen: Sequence[Item] = [self.features[index] for index in self.plan[number]]
        return self.collate(chosen if self.vary is None else self.vary(chosen, self.number))

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        return (self[number] for number in range(len(self)))

    def fingerprint(self) -> dict[str, int | str]:
        """Facts that tell data and order from others, to be kept with what was trained on them; costs milliseconds.

        Of the features, 256 are looked at: a change in another one shows only if it changes its length.
        """
        return {
            "examples": len(self.features),
            "tokens": int(self.plan.lengths.sum()),
            "batches": len(self.plan),
            "lengths": digest(self.plan.lengths),
            "order": digest(self.plan.batches),
            "features": digest(sample(self.features)),
        }


@dataclass(frozen=True)
class Batches(Generic[Item]):
    """What a trainer reads: any pass over the data, by number.

    plan: epoch number -> its batches; ignores the number where nothing is shuffled.
    collate: features of one batch -> tensors.
    vary: (features of one batch, epoch number) -> the same features as that epoch has them, such as with other words
        masked; None = all epochs have them as they are. For example:

    lengths = [len(feature.input_ids) for feature in features]
    batches = Batches(
        features,
        plan=lambda epoch: batches_by_count(lengths, batch_size=32, seed=42, epoch=epoch),
        collate=lambda chosen: pad_batch(chosen, pad_token_id=0),
    )
    """

    features: Sequence[Item]
    plan: Callable[[int], BatchPlan]
    collate: Callable[[Sequence[Item]], dict[str, Tensor]]
    vary: Vary[Item] | None = None

    def __len__(self) -> int:
        """Batches of the first epoch."""
        return len(self.plan(0))

    def epoch(self, number: int) -> Epoch[Item]:
        """Pass `number`, from 0. The same number gives the same batches, whatever was asked before."""
        return Epoch(self.features, self.plan(number), self.collate, number, self.vary)

    def fingerprint(self) -> dict[str, int | str]:
        """That of the first epoch."""
        return self.epoch(0).fingerprint()
