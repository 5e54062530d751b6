"""Watches the loss of a long run: stops one that is lost, warns of one that learns nothing."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from plm.config import require_positive
from plm.errors import ConfigError
from plm.training import Callback, Record, Run

logger = logging.getLogger(__name__)

DIVERGED = "diverged"
"""What a run that was stopped gives as its reason."""


@dataclass(frozen=True, kw_only=True)
class Watch:
    """When a loss, or rather its running mean over about `window` updates, is worth a word.

    margin: nats above the lowest mean so far that are far above. patience: updates in a row that it may be so before
        the run is stopped.
    plateau: updates of a phase after which the model must have learned more than how frequent words are; slack: nats
        below the loss of guessing by that which are not yet more.
    """

    window: int = 50
    margin: float = 1.0
    patience: int = 500
    plateau: int = 3000
    slack: float = 0.3

    def __post_init__(self) -> None:
        require_positive(self, "window", "patience", "plateau")
        for name in ("margin", "slack"):
            if not 0.0 < getattr(self, name) < math.inf:
                raise ConfigError(f"{name}: expected a positive number of nats, got {getattr(self, name)}")


class LossWatch(Callback):
    """Stops a run whose loss stays far above what it was, and says so when it stays where guessing would be.

    Each phase of a run is judged for itself, as texts of another length have another loss. Where a run that is stopped
    writes checkpoints, it writes one more; its best weights are of before.
    name: of the loss among the values of an update. guessing: the loss of who knows only how frequent words are, where
        a BERT that has collapsed stays, about 7; None = not known.
    notes: what was said so far, for the account of the run.
    """

    def __init__(self, watch: Watch, *, name: str = "loss", guessing: float | None = None) -> None:
        self.watch, self.name, self.guessing = watch, name, guessing
        self.notes: list[str] = []
        self._phase = -1
        self._start()

    def _start(self) -> None:
        """Of a phase: nothing is known."""
        self._updates, self._above = 0, 0
        self._mean, self._lowest = 0.0, math.inf

    def on_step(self, run: Run, record: Record) -> None:
        """Look at the loss of an update."""
        if run.place.epoch != self._phase:
            self._phase = run.place.epoch
            self._start()
        watch, loss = self.watch, record.values[self.name]
        self._updates += 1
        self._mean += (loss - self._mean) / min(self._updates, watch.window)
        if self._updates < watch.window:
            return
        self._lowest = min(self._lowest, self._mean)
        self._above = self._above + 1 if self._mean > self._lowest + watch.margin else 0
        if self._above >= watch.patience:
            self._stop(run)
        guessing = math.inf if self.guessing is None else self.guessing
        if self._updates == watch.plateau and self._mean > guessing - watch.slack:
            self._warn(run)

    def _stop(self, run: Run) -> None:
        self._say(
            f"stopped at update {run.update}: for {self._above} updates the loss has been more than "
            f"{self.watch.margin:g} nats above its lowest mean, {self._lowest:.2f}; it is {self._mean:.2f}. Go on from "
            "an earlier checkpoint with a lower learning rate, or begin anew with more warmup"
        )
        run.request_stop(DIVERGED)

    def _warn(self, run: Run) -> None:
        self._say(
            f"update {run.update}: the loss, {self._mean:.2f}, is still that of guessing by how frequent words are, "
            f"{self.guessing:.2f}. Often the learning rate is too high or the warmup too short, or most of the text is "
            "the same lines again and again"
        )

    def _say(self, text: str) -> None:
        self.notes.append(text)
        logger.warning(text)

    def state_dict(self) -> dict[str, Any]:
        """What it remembers of the updates so far."""
        lowest = None if math.isinf(self._lowest) else self._lowest
        counts = {"phase": self._phase, "updates": self._updates, "above": self._above}
        return {**counts, "mean": self._mean, "lowest": lowest, "notes": list(self.notes)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from such a state."""
        self._phase, self._updates, self._above = (state_dict[name] for name in ("phase", "updates", "above"))
        self._mean, lowest = state_dict["mean"], state_dict["lowest"]
        self._lowest = math.inf if lowest is None else lowest
        self.notes = list(state_dict["notes"])
