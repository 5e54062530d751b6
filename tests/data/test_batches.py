"""Passes over the data: by number, lazily, always the same."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import Tensor

from plm.data.batches import Batches
from plm.data.collate import pad_batch
from plm.data.features.classification import Feature
from plm.data.plan import batches_by_count

FEATURES = [Feature([1] * (1 + n % 5), None, n % 2, n) for n in range(23)]
LENGTHS = [len(feature.input_ids) for feature in FEATURES]


def build() -> Batches[Feature]:
    return Batches(
        FEATURES,
        plan=lambda epoch: batches_by_count(LENGTHS, batch_size=4, seed=1, epoch=epoch),
        collate=partial(pad_batch, pad_token_id=0),
    )


def test_an_epoch_holds_every_example_once() -> None:
    batches = build()
    for number in (0, 3):
        epoch = batches.epoch(number)
        assert len(epoch) == len(batches) == len(list(epoch)) == 6
        assert sorted(index for batch in epoch for index in batch["index"].tolist()) == list(range(23))


def test_the_same_epoch_gives_the_same_batches_whatever_came_before() -> None:
    batches = build()
    list(batches.epoch(0))
    later = [batch["index"].tolist() for batch in batches.epoch(1)]
    assert later == [batch["index"].tolist() for batch in build().epoch(1)]
    assert later != [batch["index"].tolist() for batch in batches.epoch(0)]


def test_batches_are_made_when_asked_for() -> None:
    made: list[int] = []

    def collate(features: Sequence[Feature]) -> dict[str, Tensor]:
        made.append(len(features))
        return pad_batch(features, pad_token_id=0)

    epoch = Batches(FEATURES, plan=lambda _: batches_by_count(LENGTHS, batch_size=4), collate=collate).epoch(0)
    assert epoch[2]["index"].tolist() == epoch.plan[2].tolist()
    assert made == [4]
