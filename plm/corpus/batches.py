"""Batches of pretraining for a trainer: any batch of any pass at once, whatever was asked for before.

corpus = Corpus.open("wikipedia")
examples = PairExamples(corpus, max_length=128, masking=Masking(count="google", max_predictions=20))
batches = CorpusBatches(examples, batching=Batching(batch_size=256), seed=42)
Trainer(model, config, batches=batches).train()
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from plm.corpus.examples import ExampleEpoch, Examples
from plm.data.fingerprint import digest
from plm.data.plan import Batching, BatchPlan


@dataclass(frozen=True)
class CorpusEpoch:
    """The batches of one pass, made when they are asked for: len(), iteration, and epoch[number]."""

    examples: ExampleEpoch
    plan: BatchPlan

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        return self.examples.batch(self.plan[number])

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        return (self[number] for number in range(len(self)))

    def fingerprint(self) -> dict[str, int | str]:
        """How many examples, tokens and batches there are, and digests of the lengths and of the order."""
        return {
            "examples": len(self.examples),
            "tokens": int(self.plan.lengths.sum()),
            "batches": len(self),
            "lengths": digest(self.plan.lengths),
            "order": digest(self.plan.batches),
        }


class CorpusBatches:
    """What a trainer reads of a corpus.

    seed: of the order of the examples; None = no shuffling, as in plm.data.batches_by_count.
    A pass is planned when it is asked for, in about a second for a million examples; the latest one is kept.
    """

    def __init__(self, examples: Examples, *, batching: Batching, seed: int | None) -> None:
        self.examples, self.batching, self.seed = examples, batching, seed
        self._latest: tuple[int, CorpusEpoch] | None = None

    def __len__(self) -> int:
        """Batches of the first pass."""
        return len(self.epoch(0))

    def epoch(self, number: int) -> CorpusEpoch:
        """Pass `number`, from 0."""
        if self._latest is None or self._latest[0] != number:
            self._latest = None  # two plans need not be in memory at a time
            examples = self.examples.epoch(number)
            plan = self.batching.plan(examples.lengths, seed=self.seed, epoch=number)
            self._latest = number, CorpusEpoch(examples, plan)
        return self._latest[1]

    def fingerprint(self) -> dict[str, int | str]:
        """Facts of corpus and settings, and those of the first pass."""
        return {**self.examples.fingerprint(), **self.epoch(0).fingerprint()}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_latest": None}
