"""Batches hold every example once, can be had in any order, and tell when anything about them changes."""

from __future__ import annotations

import pickle
from typing import Any

import torch

from plm.corpus.batches import CorpusBatches
from plm.corpus.examples import PairExamples
from plm.data.masking import Masking
from plm.data.plan import Batching
from tests.corpus.small import random_corpus

CORPUS = random_corpus(12, sentences=40)


def batches(*, seed: int | None = 5, **options: Any) -> CorpusBatches:
    examples = PairExamples(CORPUS, max_length=32, masking=Masking())
    return CorpusBatches(examples, batching=Batching(**{"batch_size": 8, **options}), seed=seed)


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_an_epoch_holds_every_example_once() -> None:
    for options in ({}, {"tokens_per_batch": 200}, {"bucket_batches": 4}, {"seed": None}):
        epoch = batches(**options).epoch(0)
        index = torch.cat([batch["index"] for batch in epoch])
        assert sorted(index.tolist()) == list(range(len(epoch.examples)))
        assert len(list(epoch)) == len(epoch)


def test_a_batch_is_the_same_whatever_was_asked_before() -> None:
    straight = [list(batches().epoch(number)) for number in range(2)]
    source = batches()
    for epoch, number in ((1, 3), (0, 7), (1, 0), (0, 7)):
        assert equal(source.epoch(epoch)[number], straight[epoch][number])
    assert not equal(straight[0][0], straight[1][0])


def test_copies_of_it_make_the_same_batches_and_carry_no_plan() -> None:
    source = batches()
    size = len(pickle.dumps(source))
    expected = source.epoch(4)[2]
    assert len(pickle.dumps(source)) == size
    assert equal(pickle.loads(pickle.dumps(source)).epoch(4)[2], expected)


def test_an_epoch_is_planned_once_while_it_is_the_latest() -> None:
    source = batches()
    assert source.epoch(1) is source.epoch(1)
    assert len(source) == len(source.epoch(0))


def test_facts_change_with_order_and_batches() -> None:
    facts = [one.fingerprint() for one in (batches(), batches(seed=6), batches(batch_size=4), batches(seed=None))]
    assert all(facts.count(one) == 1 for one in facts)
    assert {"examples", "tokens", "batches", "lengths", "order", "corpus"} <= facts[0].keys()
    source = batches()
    source.epoch(3)
    assert source.fingerprint() == facts[0]
