"""How many batches of each task a run has really seen."""

from __future__ import annotations

import logging
import math

from plm.data.mixture import Mixture
from plm.training.callbacks import Callback
from plm.training.run import Record, Run

logger = logging.getLogger(__name__)


class MixtureCounts(Callback):
    """Logs what is planned of each task when the run starts, and what was seen at every evaluation and at the end.

    mixture: what the run trains on. Nothing is counted on the way: what was seen follows from where the run stands, so
    it is right for a run that was continued, stopped early, or shared by several processes.
    """

    def __init__(self, mixture: Mixture) -> None:
        self.mixture = mixture
        self.run: Run | None = None

    @property
    def counts(self) -> dict[str, int]:
        """Batches of each task so far; all 0 before the run."""
        return self.mixture.counts(*self._place())

    def lines(self) -> list[str]:
        """What was seen so far, for people, a task a line."""
        return self.mixture.lines(*self._place())

    def on_start(self, run: Run) -> None:
        """Log the plan, unless only the number of updates is known."""
        self.run = run
        if run.config.max_steps is None:
            part, whole = math.modf(run.config.num_train_epochs)
            updates = math.ceil(len(self.mixture.epoch(int(whole))) / run.config.gradient_accumulation_steps)
            batches = math.ceil(part * updates) * run.config.gradient_accumulation_steps
            self._log("planned", self.mixture.lines(int(whole), batches))

    def on_evaluate(self, run: Run, record: Record) -> None:
        """Log what was seen so far."""
        self._log(f"update {run.update}", self.lines())

    def on_stop(self, run: Run) -> None:
        """Log what was seen at all."""
        self._log("seen", self.lines())

    def _place(self) -> tuple[int, int]:
        return (0, 0) if self.run is None else (self.run.place.epoch, self.run.place.batch)

    def _log(self, what: str, lines: list[str]) -> None:
        for line in lines:
            logger.info("%s: %s", what, line)
