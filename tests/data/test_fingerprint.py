"""Fingerprints change with the data and with nothing else."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from plm.data import Batches, Feature, batches_by_count, pad_batch
from plm.data.fingerprint import SAMPLED, digest, sample


def batches(features: list[Feature], *, batch_size: int = 4, seed: int = 1) -> Batches[Feature]:
    lengths = [len(feature.input_ids) for feature in features]
    return Batches(
        features,
        plan=lambda epoch: batches_by_count(lengths, batch_size=batch_size, seed=seed, epoch=epoch),
        collate=partial(pad_batch, pad_token_id=0),
    )


FEATURES = [Feature([1 + n % 7] * (1 + n % 5), None, n % 2, n) for n in range(23)]


def changed(facts: dict[str, Any]) -> set[str]:
    """Names of the facts that differ from those of FEATURES."""
    return {name for name, fact in batches(FEATURES).fingerprint().items() if facts[name] != fact}


def test_facts_say_what_is_other() -> None:
    assert changed(batches(list(FEATURES)).fingerprint()) == set()
    assert changed(batches(FEATURES, seed=2).fingerprint()) == {"order"}
    assert changed(batches(FEATURES, batch_size=8).fingerprint()) == {"batches", "order"}
    relabelled = [dataclasses.replace(FEATURES[0], label=1), *FEATURES[1:]]
    assert changed(batches(relabelled).fingerprint()) == {"features"}
    longer = [dataclasses.replace(FEATURES[0], input_ids=[1, 1]), *FEATURES[1:]]
    assert {"tokens", "lengths", "features"} <= changed(batches(longer).fingerprint())
    assert {"examples", "tokens", "lengths"} <= changed(batches(FEATURES[:-1]).fingerprint())


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([1, 2], [12]),
        ([[1], [2]], [[1, 2]]),
        ("1", 1),
        (1, True),
        (None, "None"),
        (torch.ones(2), torch.ones(2, dtype=torch.float64)),
        (torch.zeros(2, dtype=torch.bfloat16), torch.zeros(2, dtype=torch.float16)),
        (np.zeros((2, 3)), np.zeros((3, 2))),
        ({"a": 1}, {"a": 2}),
        ("a", "\ud800"),
    ],
)
def test_different_values_have_different_digests(first: object, second: object) -> None:
    assert digest(first) != digest(second)
    assert digest([first, second]) == digest([first, second])


def test_digests_are_the_same_on_every_machine() -> None:
    assert digest(FEATURES[3]) == "d2b3bdec7a2ae37b"
    assert digest(np.int64(3)) == digest(3)
    assert digest(object()) == digest(object())


def test_samples_have_both_ends() -> None:
    assert sample([1, 2]) == [1, 2]
    chosen = sample(range(10_000))
    assert (len(chosen), chosen[0], chosen[-1]) == (SAMPLED, 0, 9_999)
