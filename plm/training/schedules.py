"""Learning rate over the course of a run, as a share of the highest one. Pure functions: nothing to save or restore."""

from __future__ import annotations

import math
from collections.abc import Callable

from plm.registry import Registry

Schedule = Callable[[int, int, float], float]
"""(updates done before this one, updates of the whole run, updates of warmup) -> factor, in [0, 1]."""

SCHEDULES: Registry[Schedule] = Registry("learning rate schedule")


def linear(update: int, total: int, warmup: float) -> float:
    """Up from 0 to 1, then straight down to 0. Source: transformers, get_linear_schedule_with_warmup."""
    if update < warmup:
        return update / warmup
    return max(0.0, (total - update) / max(1.0, total - warmup))


def cosine(update: int, total: int, warmup: float) -> float:
    """Up from 0 to 1, then down to 0 along half a cosine. Source: transformers, get_cosine_schedule_with_warmup."""
    if update < warmup:
        return update / warmup
    progress = min(1.0, (update - warmup) / max(1.0, total - warmup))
    return 0.5 * (1.0 + math.cos(math.pi * progress))


def constant(update: int, total: int, warmup: float) -> float:
    """Up from 0 to 1, then 1."""
    return min(1.0, update / warmup) if warmup else 1.0


def polynomial(update: int, total: int, warmup: float) -> float:
    """Up, then down as the square root of what is left; drops at the end of warmup. Counts from 1, ends at 0.

    Source: NVIDIA's BERT for LAMB pretraining, PolyWarmUpScheduler; You et al. 2020.
    """
    step = update + 1
    return step / warmup if step < warmup else math.sqrt(max(0.0, 1.0 - step / total))


def bert(update: int, total: int, warmup: float) -> float:
    """Up from 0, then down on the line from 1 at update 0 to 0 at the end; drops at the end of warmup.

    Source: google-research/bert, optimization.py.
    """
    return update / warmup if update < warmup else max(0.0, 1.0 - update / total)


for _schedule in (linear, cosine, constant, polynomial, bert):
    SCHEDULES.add(_schedule.__name__, _schedule)
