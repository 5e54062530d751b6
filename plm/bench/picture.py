"""A picture of ratios: a bar for each, a whisker from the least to the most, a line where both sides are equal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from plm.bench.figures import new_figure, save
from plm.bench.stored import Line, Run, Spread


def draw_ratios(runs: Sequence[Run], path: Path) -> bool:
    """Draw all ratios of the runs of one benchmark into a png; False = there are none, and no picture.

    Raises BackendUnavailable without matplotlib.
    """
    bars = list(labelled(runs))
    if not bars:
        return False
    figure = new_figure(8, 0.42 * len(bars) + 1.1)
    axes = figure.subplots()
    spreads = [spread for _, spread in bars]
    drawn = axes.barh(
        range(len(bars)),
        [spread.median for spread in spreads],
        xerr=[[s.median - s.least for s in spreads], [s.most - s.median for s in spreads]],
        color="#5c6bc0",
        error_kw={"ecolor": "#999999", "capsize": 3},
    )
    axes.bar_label(drawn, fmt="%.2f", padding=4)
    axes.set_yticks(range(len(bars)), [label for label, _ in bars])
    axes.axvline(1.0, color="#999999", linestyle=":")
    axes.set_xlabel("ratio; at the dotted line both are equal")
    axes.invert_yaxis()
    axes.margins(x=0.12)
    save(figure, path)
    return True


def labelled(runs: Sequence[Run]) -> Iterator[tuple[str, Spread]]:
    """Every ratio with a name that tells it from the others: its own, and the settings that differ between lines."""
    told = {option for run in runs for option in run.options} | {"threads"}
    lines = [line for run in runs for line in run.lines if line.spreads()]
    facts = [_facts(line, told) for line in lines]
    names = dict.fromkeys(name for one in facts for name in one)
    differing = [name for name in names if len({str(one.get(name)) for one in facts}) > 1]
    for line, own in zip(lines, facts, strict=True):
        details = ", ".join(_detail(name, own[name]) for name in differing if name in own)
        for name, spread in line.spreads().items():
            label = name.replace("_", " ")
            yield (f"{label} ({details})" if details else label), spread


def _facts(line: Line, told: set[str]) -> dict[str, Any]:
    """What may tell a line from others: its kind, words, and the numbers that options or the threads are."""
    words = {name: value for name, value in line.values.items() if isinstance(value, str) or name in told}
    return {"kind": line.kind, **words, "threads": line.setting.get("threads")}


def _detail(name: str, value: Any) -> str:
    return str(value) if isinstance(value, str) else f"{name.replace('_', ' ')} {value}"
