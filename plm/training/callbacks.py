"""Onlookers of a run: progress bar, history, log file, curves. They may read everything and ask the run to stop."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from tqdm import tqdm

from plm.errors import optional_import
from plm.training.run import Record, Run


class Callback:
    """Base of all callbacks; override what you need."""

    def on_start(self, run: Run) -> None:
        """Before the first update."""

    def on_step(self, run: Run, record: Record) -> None:
        """After every update, with the values of that update alone."""

    def on_evaluate(self, run: Run, record: Record) -> None:
        """After every evaluation."""

    def on_save(self, run: Run, folder: Path) -> None:
        """After a folder was written."""

    def on_stop(self, run: Run) -> None:
        """At the end, also after an error."""


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


class History(Callback):
    """Collects evaluations, and one training record for every `config.log_every` updates.

    Such a record holds the means over its updates; the learning rate is that of the last one.
    """

    def __init__(self) -> None:
        self.records: list[Record] = []
        self._open: list[Record] = []
        self._mark: Record | None = None

    def on_start(self, run: Run) -> None:
        """Forget earlier runs."""
        self.records, self._open, self._mark = [], [], run.record("train", {})

    def on_step(self, run: Run, record: Record) -> None:
        """Note an update."""
        self._open.append(record)
        if len(self._open) == run.config.log_every or record.update == run.total_updates:
            self._close()

    def on_evaluate(self, run: Run, record: Record) -> None:
        """Note an evaluation, after the updates before it."""
        self._close()
        self.add(record)

    def on_stop(self, run: Run) -> None:
        """Note updates that did not fill a record."""
        self._close()

    def add(self, record: Record) -> None:
        """Where a finished record goes."""
        self.records.append(record)

    def _close(self) -> None:
        if not self._open:
            return
        last, mark = self._open[-1], self._mark
        assert mark is not None, "on_step before on_start"
        values = _means([record.values for record in self._open])
        values["learning_rate"] = last.values["learning_rate"]
        values["tokens_per_second"] = (last.tokens - mark.tokens) / max(last.seconds - mark.seconds, 1e-9)
        self.add(Record("train", last.update, last.epoch, last.tokens, last.seconds, values))
        self._open, self._mark = [], last


def _means(rows: list[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each value over the rows that have it."""
    columns: dict[str, list[float]] = {}
    for row in rows:
        for name, value in row.items():
            columns.setdefault(name, []).append(value)
    return {name: sum(column) / len(column) for name, column in columns.items()}


class JsonLines(History):
    """Writes every record to a file as soon as it is there, one JSON object a line; the file starts anew with the run.

    Keys: kind, update, epoch, tokens, seconds, and the values. A value that is not finite is written as null.
    """

    def __init__(self, path: Path | str) -> None:
        super().__init__()
        self.path = Path(path)
        self._file: IO[str] | None = None

    def on_start(self, run: Run) -> None:
        """Open the file."""
        super().on_start(run)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("w", encoding="utf-8")

    def add(self, record: Record) -> None:
        """Write a line."""
        super().add(record)
        assert self._file is not None, "add before on_start"
        values = {name: value if abs(value) < float("inf") else None for name, value in record.values.items()}
        place = {name: getattr(record, name) for name in ("kind", "update", "epoch", "tokens", "seconds")}
        self._file.write(json.dumps(place | values, allow_nan=False) + "\n")
        self._file.flush()

    def on_stop(self, run: Run) -> None:
        """Close the file."""
        super().on_stop(run)
        if self._file is not None:
            self._file.close()


class ProgressBar(Callback):
    """A bar on the terminal: updates, time left, loss, learning rate, real tokens per second. None without terminal."""

    def __init__(self) -> None:
        self._bar: tqdm[None] | None = None

    def on_start(self, run: Run) -> None:
        """Show the bar."""
        self._bar = tqdm(total=run.total_updates, desc="training", unit="update", disable=None, dynamic_ncols=True)

    def on_step(self, run: Run, record: Record) -> None:
        """Move it."""
        assert self._bar is not None, "on_step before on_start"
        self._bar.set_postfix(
            {
                "loss": f"{record.values['loss']:.4f}",
                "lr": f"{record.values['learning_rate']:.1e}",
                "tokens/s": f"{run.tokens / max(run.seconds, 1e-9):,.0f}",
            },
            refresh=False,
        )
        self._bar.update()

    def on_evaluate(self, run: Run, record: Record) -> None:
        """Write the results above the bar."""
        if self._bar is not None and not self._bar.disable:
            listed = ", ".join(f"{name} {value:.4f}" for name, value in record.values.items())
            self._bar.write(f"update {record.update}, epoch {record.epoch:.2f}: {listed}")

    def on_stop(self, run: Run) -> None:
        """Leave it as it is."""
        if self._bar is not None:
            self._bar.close()


class CurvePlot(History):
    """Draws loss and evaluation results over the updates into a picture, after every evaluation and at the end.

    path: a file whose suffix matplotlib knows: .png, .svg, .pdf. Needs the extra "plot".
    """

    def __init__(self, path: Path | str) -> None:
        super().__init__()
        self.path = Path(path)
        self._figures = optional_import("matplotlib.figure", extra="plot", purpose="drawing training curves")

    def on_evaluate(self, run: Run, record: Record) -> None:
        """Draw."""
        super().on_evaluate(run, record)
        self._draw()

    def on_stop(self, run: Run) -> None:
        """Draw."""
        super().on_stop(run)
        self._draw()

    def _draw(self) -> None:
        # A Figure of its own, not pyplot: nothing global is touched, no window can open.
        figure = self._figures.Figure(figsize=(7, 6), layout="constrained")
        losses, metrics = figure.subplots(2, 1, sharex=True)
        for name, (updates, values) in self._curves().items():
            axes = losses if name.endswith("loss") else metrics
            axes.plot(updates, values, label=name, marker="." if name.startswith("evaluation") else None)
        for axes, title in ((losses, "loss"), (metrics, "evaluation")):
            axes.set_ylabel(title)
            axes.grid(alpha=0.3)
            if axes.lines:
                axes.legend()
        metrics.set_xlabel("update")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        aside = self.path.with_stem(f".{self.path.stem}.new")
        figure.savefig(aside)
        aside.replace(self.path)

    def _curves(self) -> dict[str, tuple[list[int], list[float]]]:
        """Name -> updates and values: the training loss, and everything that evaluations returned."""
        curves: dict[str, tuple[list[int], list[float]]] = {}
        for record in self.records:
            for name, value in record.values.items():
                if record.kind == "evaluation" or name == "loss":
                    updates, values = curves.setdefault(f"{record.kind} {name}", ([], []))
                    updates.append(record.update)
                    values.append(value)
        return curves
