"""Learning rate over the course of a run, as a share of the highest one. Pure functions: nothing to save or restore.

What programs call by the same name differs in what happens when warmup ends. Those that count the decay from the start
of the run (Google, NVIDIA) drop there, from 1 to what the decay has come to: `jump`. Those that count it from the end
of warmup (transformers, Huawei) do not.
"""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from plm.config import require_choice, require_positive, require_probability
from plm.errors import ConfigError, did_you_mean
from plm.registry import Registry

Schedule = Callable[[int, int, float], float]
"""(updates done before this one, updates of the whole run, updates of warmup) -> factor, in [0, 1]."""

SCHEDULES: Registry[Callable[..., float]] = Registry("learning rate schedule")
"""Schedules; what they take by keyword beyond the three numbers are options with defaults."""


def linear(update: int, total: int, warmup: float, *, end: float = 0.0, jump: bool = False) -> float:
    """Up from 0 to 1, then straight down to `end`. Source: transformers, get_linear_schedule_with_warmup.

    Huawei's NEZHA, too, has no jump. MosaicBERT: end 0.02.
    """
    if update < warmup:
        return update / warmup
    return _down_to(end, _left(update, total, warmup, jump=jump))


def cosine(update: int, total: int, warmup: float, *, end: float = 0.0, jump: bool = False) -> float:
    """Up from 0 to 1, then down to `end` along half a cosine. Source: transformers, get_cosine_schedule_with_warmup."""
    if update < warmup:
        return update / warmup
    return _down_to(end, 0.5 * (1.0 - math.cos(math.pi * _left(update, total, warmup, jump=jump))))


def constant(update: int, total: int, warmup: float) -> float:
    """Up from 0 to 1, then 1."""
    return min(1.0, update / warmup) if warmup else 1.0


def inverse_sqrt(update: int, total: int, warmup: float, *, timescale: float | None = None) -> float:
    """Up from 0 to 1, then down as 1 / sqrt(update), never to 0. Source: transformers, get_inverse_sqrt_schedule.

    timescale: updates after the end of warmup, plus one, in which the rate falls to 1 / sqrt(2), nearly; None = those
        of warmup, or 10,000 without any.
    """
    if update < warmup:
        return update / warmup
    scale = timescale or warmup or 10_000
    return 1.0 / math.sqrt((update - warmup + scale) / scale)


def polynomial(
    update: int, total: int, warmup: float, *, power: float = 0.5, end: float = 0.0, jump: bool = True
) -> float:
    """Up, then down to `end` as a power of what is left; drops at the end of warmup. Counts from 1.

    Source: NVIDIA's BERT for LAMB pretraining, PolyWarmUpScheduler; You et al. 2020. MLPerf: power 1.
    """
    step = update + 1
    return step / warmup if step < warmup else _down_to(end, _left(step, total, warmup, jump=jump) ** power)


def bert(update: int, total: int, warmup: float, *, end: float = 0.0) -> float:
    """`linear` with the jump: the line goes from 1 at update 0 to `end` at the end of the run.

    Sources: google-research/bert, optimization.py; PaddlePALM, TriangularSchedualer.
    """
    return linear(update, total, warmup, end=end, jump=True)


def openai_linear(update: int, total: int, warmup: float) -> float:
    """What is left of the run, also during warmup, where it is multiplied by a rise from 0 to 1. Counts from 1.

    Source, also of the next two: openai/finetune-transformer-lm, opt.py.
    """
    return _openai_rise(update, warmup) * _left(update + 1, total, warmup, jump=True)


def openai_cosine(update: int, total: int, warmup: float) -> float:
    """During warmup up from 0 to 1, then along half a cosine that began with the run. Counts from 1."""
    step = update + 1
    return step / warmup if step <= warmup else cosine(step, total, 0.0)


def openai_constant(update: int, total: int, warmup: float) -> float:
    """Up from 0 to 1, then 1. Counts from 1."""
    return _openai_rise(update, warmup)


for _schedule in (
    linear,
    cosine,
    constant,
    inverse_sqrt,
    polynomial,
    bert,
    openai_linear,
    openai_cosine,
    openai_constant,
):
    SCHEDULES.add(_schedule.__name__, _schedule)


def schedule(name: str, options: Mapping[str, float | bool] | None = None) -> Schedule:
    """A schedule with its options set. name: in SCHEDULES.

    Raises UnknownNameError for an unknown name, ConfigError for an option that it does not have.
    """
    chosen = SCHEDULES.get(name)
    known = [option for option, held in inspect.signature(chosen).parameters.items() if held.kind is held.KEYWORD_ONLY]
    for option in options or {}:
        if option not in known:
            listed = ", ".join(map(repr, known)) or "none"
            raise ConfigError(f"{name} has no option {option!r}{did_you_mean(option, known)} (it has: {listed})")
    return partial(chosen, **dict(options or {}))


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One of several schedules that follow each other in a run; fields as in TrainingConfig.

    max_steps: updates of the phase. learning_rate: its highest.
    restarts_steps: True = LAMB and its kin count their own steps from 1 again, as NVIDIA does at its switch of phases.
        Its running means stay, so the correction of a bias that they no longer have makes the first updates shorter
        against weight decay, by 10 / sqrt(1000) at first. Updates that fp16 skipped are no steps.
    """

    max_steps: int
    learning_rate: float
    warmup_ratio: float = 0.0
    lr_scheduler: str = "linear"
    lr_scheduler_kwargs: dict[str, float | bool] = field(default_factory=dict)
    restarts_steps: bool = False

    def __post_init__(self) -> None:
        require_positive(self, "max_steps")
        require_probability(self, "warmup_ratio")
        require_choice(self, "lr_scheduler", SCHEDULES.names())
        schedule(self.lr_scheduler, self.lr_scheduler_kwargs)
        if not 0.0 < self.learning_rate < math.inf:
            raise ConfigError(f"learning_rate: expected a positive number, got {self.learning_rate}")

    def rate(self, update: int) -> float:
        """The learning rate after `update` updates of this phase."""
        chosen = schedule(self.lr_scheduler, self.lr_scheduler_kwargs)
        return self.learning_rate * chosen(update, self.max_steps, self.warmup_ratio * self.max_steps)


def rate_in_phases(update: int, phases: Sequence[Phase]) -> float:
    """The learning rate of an update of the whole run, counted from 0; each phase starts its own schedule anew."""
    for phase in phases[:-1]:
        if update < phase.max_steps:
            return phase.rate(update)
        update -= phase.max_steps
    return phases[-1].rate(update)


def step_restarts(phases: Sequence[Phase]) -> tuple[int, ...]:
    """After how many updates the optimizer counts its steps from 1 again."""
    starts = itertools.accumulate((phase.max_steps for phase in phases), initial=0)
    return tuple(start for start, phase in zip(starts, phases, strict=False) if start and phase.restarts_steps)


def _left(update: int, total: int, warmup: float, *, jump: bool) -> float:
    """What is left of the decay, from 1 to 0. jump: True = it goes on since the start of the run."""
    start = 0.0 if jump else warmup
    return min(1.0, max(0.0, (total - update) / max(1.0, total - start)))


def _down_to(end: float, left: float) -> float:
    return end + (1.0 - end) * left


def _openai_rise(update: int, warmup: float) -> float:
    return min(1.0, (update + 1) / warmup) if warmup else 1.0
