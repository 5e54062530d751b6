"""Curves of a run, as a picture."""

from __future__ import annotations

import time
from pathlib import Path

from plm.errors import optional_import
from plm.training.callbacks.callback import Callback
from plm.training.run import Record, Run


class CurvePlot(Callback):
    """Draws loss and evaluation results over the updates into a picture, after evaluations and at the end.

    path: a file whose suffix matplotlib knows: .png, .svg, .pdf. Needs the extra "plot".
    pause: seconds between two drawings at least, but for the last one, which takes a good part of a second each.
    """

    def __init__(self, path: Path | str, *, pause: float = 10.0) -> None:
        self.path, self.pause = Path(path), pause
        self._figures = optional_import("matplotlib.figure", extra="plot", purpose="drawing training curves")
        self._drawn = -float("inf")

    def on_evaluate(self, run: Run, record: Record) -> None:
        """Draw, unless it was done just now."""
        if time.monotonic() - self._drawn >= self.pause:
            self._draw(run)

    def on_stop(self, run: Run) -> None:
        """Draw."""
        self._draw(run)

    def _draw(self, run: Run) -> None:
        # A Figure of its own, not pyplot: nothing global is touched, no window can open.
        figure = self._figures.Figure(figsize=(7, 6), layout="constrained")
        losses, metrics = figure.subplots(2, 1, sharex=True)
        for name, (updates, values) in _curves(run.history).items():
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
        self._drawn = time.monotonic()


def _curves(history: list[Record]) -> dict[str, tuple[list[int], list[float]]]:
    """Name -> updates and values: the training loss, and everything that evaluations returned."""
    curves: dict[str, tuple[list[int], list[float]]] = {}
    for record in history:
        for name, value in record.values.items():
            if record.kind == "evaluation" or name == "loss":
                updates, values = curves.setdefault(f"{record.kind} {name}", ([], []))
                updates.append(record.update)
                values.append(value)
    return curves
