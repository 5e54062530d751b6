"""Figures of matplotlib (extra "plot") that become the same file each time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from plm.errors import optional_import
from plm.folders import written_aside


def new_figure(width: float, height: float) -> Any:
    """An empty figure of that size in inches. Raises BackendUnavailable without matplotlib."""
    figures = optional_import("matplotlib.figure", extra="plot", purpose="drawing the results of benchmarks")
    # A Figure of its own, not pyplot: nothing global is touched, no window can open.
    return figures.Figure(figsize=(width, height), layout="constrained")


def save(figure: Any, path: Path) -> None:
    """Write a png, with nothing in it that changes from one time to the next."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(path) as aside:
        figure.savefig(aside, format="png", metadata={"Software": None})
