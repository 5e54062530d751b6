"""What a run knows about itself: where it stands, what it measured, how it ended."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from plm.errors import TrainingError
from plm.training.config import TrainingConfig


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

    total_updates: planned. output_dir: where files of the run go, if anywhere. The rest as in Record.
    best_update, best_metrics: of the best evaluation so far; 0 and empty before the first.
    evaluated_update: after which the last evaluation came.
    evaluations_since_best: how many in a row brought nothing better.
    stop_reason: why the run ends before total_updates; None = it goes on.
    """

    config: TrainingConfig
    total_updates: int
    output_dir: Path | None = None
    update: int = 0
    epoch: float = 0.0
    tokens: int = 0
    seconds: float = 0.0
    best_update: int = 0
    best_metrics: dict[str, float] = field(default_factory=dict)
    evaluated_update: int = 0
    evaluations_since_best: int = 0
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
        self.evaluated_update = self.update
        if is_best:
            self.best_update, self.best_metrics = self.update, dict(metrics)
        self.evaluations_since_best = 0 if is_best else self.evaluations_since_best + 1
        return is_best


@dataclass(frozen=True)
class TrainingReport:
    """How a run ended.

    stopped: "finished", "early stopping", "interrupted" (Ctrl-C), or the reason a callback gave.
    updates: done. best_update, best_metrics: of the best evaluation; 0 and empty without any.
    seconds: of everything; tokens_per_second: real tokens by seconds of training.
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
