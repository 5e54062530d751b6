"""The random states of a process: those of torch on the CPU and one CUDA device, of numpy, and of Python."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

RandomState = Mapping[str, Any]


def get_random_state(device: torch.device) -> RandomState:
    """All of them, as a checkpoint can hold them. device: of the model; "cuda" is there only for a CUDA device."""
    name, keys, *place = np.random.get_state(legacy=True)
    state = {
        "torch": torch.get_rng_state(),
        "numpy": (name, [int(key) for key in keys], *place),
        "python": random.getstate(),
    }
    return state | {"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else state


def set_random_state(state: RandomState, device: torch.device) -> None:
    """Go on from a state. That of CUDA is left out where the model went from one kind of device to another."""
    torch.set_rng_state(state["torch"])
    name, keys, *place = state["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), *place))
    random.setstate(state["python"])
    if "cuda" in state and device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)


@contextmanager
def random_state_kept(device: torch.device) -> Iterator[None]:
    """Leave all of them as they were found."""
    before = get_random_state(device)
    try:
        yield
    finally:
        set_random_state(before, device)
