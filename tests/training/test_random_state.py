"""Random states come back, whole."""

from __future__ import annotations

import json
import random

import numpy as np
import torch

from plm.training.random_state import get_random_state, random_state_kept, set_random_state
from plm.training.tree import pack, unpack

CPU = torch.device("cpu")


def drawn() -> list[float]:
    """From every source; odd numbers of normal deviates leave one over, which is state as well."""
    return [float(torch.rand(())), float(np.random.normal()), random.gauss(0, 1), float(torch.randn(()))]


def test_the_same_numbers_come_again_also_through_a_checkpoint() -> None:
    with random_state_kept(CPU):
        drawn()
        values, tensors = pack(dict(get_random_state(CPU)))
        first = drawn()
        set_random_state(unpack(json.loads(json.dumps(values)), tensors), CPU)
        assert drawn() == first


def test_states_are_left_as_found() -> None:
    before = get_random_state(CPU)
    with random_state_kept(CPU):
        drawn()
    after = get_random_state(CPU)
    assert torch.equal(before["torch"], after["torch"])
    assert (before["numpy"], before["python"]) == (after["numpy"], after["python"])
