"""What every onlooker of a run is told."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from plm.training.run import Record, Run
from plm.training.tree import Tree

logger = logging.getLogger(__name__)


class Callback:
    """Base of all callbacks; override what you need.

    One that remembers something over the updates should survive the end of the process: give it `state_dict` and
    `load_state_dict`. One that writes a file needs neither if it writes `run.history` in on_start, as JsonLines does.
    """

    def on_start(self, run: Run) -> None:
        """Before the first update. run.update is not 0 and run.history not empty when the run is continued."""

    def on_step(self, run: Run, record: Record) -> None:
        """After every update, with the values of that update alone."""

    def on_log(self, run: Run, record: Record) -> None:
        """After each new entry of run.history: the means over config.log_every updates, or an evaluation."""

    def on_evaluate(self, run: Run, record: Record) -> None:
        """After every evaluation. The model has the weights that were evaluated, the averages if there are any."""

    def on_save(self, run: Run, folder: Path) -> None:
        """After a folder was written: a model or a checkpoint of the run."""

    def on_stop(self, run: Run) -> None:
        """At the end, also after an error."""

    def state_dict(self) -> Tree:
        """What a checkpoint is to remember: nested dicts, lists and tuples of numbers, strings and tensors."""
        return {}

    def load_state_dict(self, state_dict: Tree) -> None:
        """Called after on_start when the run is continued, with what state_dict returned at the checkpoint."""


class CallbackList(Callback):
    """Several callbacks as one; told in their order."""

    def __init__(self, callbacks: Sequence[Callback]) -> None:
        self.callbacks = tuple(callbacks)

    def on_start(self, run: Run) -> None:
        """Tell all."""
        for callback in self.callbacks:
            callback.on_start(run)

    def on_step(self, run: Run, record: Record) -> None:
        """Tell all."""
        for callback in self.callbacks:
            callback.on_step(run, record)

    def on_log(self, run: Run, record: Record) -> None:
        """Tell all."""
        for callback in self.callbacks:
            callback.on_log(run, record)

    def on_evaluate(self, run: Run, record: Record) -> None:
        """Tell all."""
        for callback in self.callbacks:
            callback.on_evaluate(run, record)

    def on_save(self, run: Run, folder: Path) -> None:
        """Tell all."""
        for callback in self.callbacks:
            callback.on_save(run, folder)

    def on_stop(self, run: Run) -> None:
        """Tell all."""
        for callback in self.callbacks:
            callback.on_stop(run)

    def state_dict(self) -> dict[str, Tree]:
        """The states of those that have one, by class and place among the callbacks of that class ("Witness 0")."""
        states = {name: callback.state_dict() for name, callback in self._named().items()}
        return {name: state for name, state in states.items() if state}

    def load_state_dict(self, state_dict: Mapping[str, Tree]) -> None:
        """Give each its own. States of callbacks that are gone are left out, and a line in the log says so."""
        named = self._named()
        for name, state in state_dict.items():
            if name in named:
                named[name].load_state_dict(state)
            else:
                logger.warning("the checkpoint has a state of the callback %s, which the run no longer has", name)

    def _named(self) -> dict[str, Callback]:
        named: dict[str, Callback] = {}
        counts: dict[str, int] = {}
        for callback in self.callbacks:
            kind = type(callback).__name__
            named[f"{kind} {counts.get(kind, 0)}"] = callback
            counts[kind] = counts.get(kind, 0) + 1
        return named


class History(Callback):
    """Collects the entries of the history; those of a run that is continued, too."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def on_start(self, run: Run) -> None:
        """Forget earlier runs."""
        self.records = list(run.history)

    def on_log(self, run: Run, record: Record) -> None:
        """Note an entry."""
        self.records.append(record)
