"""What a run knows about itself: where it stands, what it measured, how it ended."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from plm.errors import TrainingError
from plm.training.config import TrainingConfig
from plm.training.course import START, Place

EXIT_CODES: Mapping[str, int] = {"interrupted": 130, "terminated": 143}
"""How a program tells that Ctrl-C or SIGTERM ended its run: 128 and the number of the signal, as shells have it."""

# What Run remembers in a checkpoint as it is.
_COUNTERS = (
    "update",
    "epoch",
    "tokens",
    "positions",
    "seconds",
    "elapsed",
    "best_update",
    "best_metrics",
    "evaluated_update",
    "evaluations_since_best",
    "is_evaluation_due",
)


@dataclass(frozen=True)
class Record:
    """One entry of the history.

    kind: "train" (loss, learning_rate, grad_norm and what the step logs) or "evaluation" (its results).
    update: updates done. epoch: passes over the data, with fraction.
    tokens: trained on since the start, padding left out. seconds: of training since then, evaluations left out.
    """

    kind: Literal["train", "evaluation"]
    update: int
    epoch: float
    tokens: int
    seconds: float
    values: Mapping[str, float]


@dataclass
class Run:
    """The state of a run, changed by the Trainer and read by callbacks, which may also ask it to stop.

    total_updates: planned. output_dir: where files of the run go, if anywhere. device: of the model.
    update, epoch, tokens, seconds: as in Record. place: in the data. positions: tokens and padding.
    elapsed: seconds of everything, those of earlier parts of a continued run included.
    history: finished records.
    best_update, best_metrics: of the best evaluation so far; 0 and empty before the first.
    evaluated_update: after which the last evaluation came.
    evaluations_since_best: how many in a row brought nothing better.
    is_evaluation_due: True = one belongs after the last update, and was not finished.
    resumed_update: where this part of the run began; None = it began anew.
    stop_reason: why the run ends before total_updates; None = it goes on.
    """

    config: TrainingConfig
    total_updates: int
    output_dir: Path | None = None
    device: str = "cpu"
    update: int = 0
    epoch: float = 0.0
    place: Place = START
    tokens: int = 0
    positions: int = 0
    seconds: float = 0.0
    elapsed: float = 0.0
    history: list[Record] = field(default_factory=list)
    best_update: int = 0
    best_metrics: dict[str, float] = field(default_factory=dict)
    evaluated_update: int = 0
    evaluations_since_best: int = 0
    is_evaluation_due: bool = False
    resumed_update: int | None = None
    stop_reason: str | None = None

    def request_stop(self, reason: str) -> None:
        """Let the run end after the current update. The first reason is kept."""
        self.stop_reason = self.stop_reason or reason

    def record(self, kind: Literal["train", "evaluation"], values: Mapping[str, float]) -> Record:
        """`values` with the place in the run where they were measured."""
        return Record(kind, self.update, self.epoch, self.tokens, self.seconds, dict(values))

    def judge(self, metrics: Mapping[str, float]) -> bool:
        """Note the results of an evaluation; True = they are the best so far. nan is never best.

        Raises TrainingError when metric_for_best is not among them.
        """
        name = self.config.metric_for_best or next(iter(metrics), "loss")
        if name not in metrics:
            listed = ", ".join(map(repr, metrics)) or "nothing"
            raise TrainingError(f"the evaluation must return {name!r} to tell the best weights; it returned: {listed}")
        greater = self.config.greater_is_better
        if greater is None:
            greater = not name.endswith(("loss", "perplexity"))
        sign = 1.0 if greater else -1.0
        best = sign * self.best_metrics[name] if self.best_metrics else -math.inf
        is_best = sign * metrics[name] > best
        self.evaluated_update, self.is_evaluation_due = self.update, False
        if is_best:
            self.best_update, self.best_metrics = self.update, dict(metrics)
        self.evaluations_since_best = 0 if is_best else self.evaluations_since_best + 1
        return is_best

    @property
    def padding_share(self) -> float:
        """Share of the positions trained on that were padding; in [0, 1)."""
        return 1.0 - self.tokens / self.positions if self.positions else 0.0

    def state_dict(self) -> dict[str, Any]:
        """Where the run stands, and its history."""
        counters = {name: getattr(self, name) for name in _COUNTERS}
        return counters | {"place": asdict(self.place), "history": [asdict(record) for record in self.history]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from there."""
        for name in _COUNTERS:
            setattr(self, name, state_dict[name])
        self.place = Place(**state_dict["place"])
        self.history = [Record(**record) for record in state_dict["history"]]
        self.resumed_update = self.update


@dataclass(frozen=True)
class TrainingReport:
    """How a run ended.

    stopped: "finished", "early stopping", "interrupted" (Ctrl-C), "terminated" (SIGTERM), or what a callback gave as
        its reason.
    updates: done. best_update, best_metrics: of the best evaluation; 0 and empty without any.
    seconds: of everything; tokens_per_second: real tokens by seconds of training. Both count all parts of a run that
    was continued. padding_share: of the positions trained on, in [0, 1).
    """

    stopped: str
    updates: int
    epochs: float
    best_update: int
    best_metrics: Mapping[str, float]
    history: tuple[Record, ...]
    seconds: float
    tokens: int
    tokens_per_second: float
    padding_share: float = 0.0

    @classmethod
    def of(cls, run: Run) -> TrainingReport:
        """The report of a run that has ended."""
        return cls(
            stopped=run.stop_reason or "finished",
            updates=run.update,
            epochs=run.epoch,
            best_update=run.best_update,
            best_metrics=run.best_metrics,
            history=tuple(run.history),
            seconds=run.elapsed,
            tokens=run.tokens,
            tokens_per_second=run.tokens / max(run.seconds, 1e-9),
            padding_share=run.padding_share,
        )

    @property
    def exit_code(self) -> int:
        """What a program that only trains should exit with: 0, or that of EXIT_CODES."""
        return EXIT_CODES.get(self.stopped, 0)
