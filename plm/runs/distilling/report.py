"""What comes out of a distillation besides the student: what it costs, what it scores, and how that compares."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plm.runs.distilling.measuring import Cost
from plm.runs.report import finite

LESS_IS_BETTER = ("loss", "perplexity", "mse")
"""How the names of metrics end that count what is wrong."""

Scores = Mapping[str, Mapping[str, float]]
"""Metrics by split ("dev", "test"); the first of each judges."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A model: what it costs, and what it scores; nothing where it has no task."""

    cost: Cost
    scores: Scores


@dataclass(frozen=True, kw_only=True)
class DistillationReport:
    """How it went; `lines()` is what people read.

    stages: outcome of each that was asked for, in order. teacher, student: None = not all stages are done.
    circumstances: of times and operations. notes: what else there is to know. stopped: "finished", or what ended a
    stage early, as in TrainingReport.
    """

    output_dir: Path
    stages: Mapping[str, Mapping[str, Any]]
    teacher: Standing | None = None
    student: Standing | None = None
    circumstances: str = ""
    notes: Sequence[str] = ()
    stopped: str = "finished"

    @property
    def kept(self) -> dict[str, float]:
        """By "split metric", the student's score as a share of the teacher's, where more is better and there is any."""
        return {
            name: own / theirs
            for name, (theirs, own) in self._side_by_side().items()
            if theirs > 0 and not name.endswith(LESS_IS_BETTER)
        }

    @property
    def metrics(self) -> Mapping[str, float]:
        """Of the student, on the dev file."""
        return {} if self.student is None else self.student.scores.get("dev", {})

    def lines(self) -> list[str]:
        """The account as markdown: what both cost and score, and the stages."""
        told = [f"# {self.output_dir.name}", ""]
        if self.teacher is not None and self.student is not None:
            told += [*_table(("", "teacher", "student", ""), self._comparison()), "", self.circumstances, ""]
        rows = [_stage_row(name, outcome) for name, outcome in self.stages.items()]
        told += _table(("stage", "", "took", "losses of first and last update, dev"), rows)
        return [*told, *(f"\nnote: {note}" for note in self.notes)]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; None = not a finite number."""
        models = {"teacher": self.teacher, "student": self.student}
        told = {name: None if one is None else dataclasses.asdict(one) for name, one in models.items()}
        account = {"kept": self.kept, "circumstances": self.circumstances, "stages": dict(self.stages)}
        values = {"output_dir": str(self.output_dir), "stopped": self.stopped, **told, **account}
        return {name: finite(value) for name, value in {**values, "notes": list(self.notes)}.items()}

    def _side_by_side(self) -> dict[str, tuple[float, float]]:
        """By "split metric": (of the teacher, of the student)."""
        if self.teacher is None or self.student is None:
            return {}
        return {
            f"{split} {name}": (self.teacher.scores[split][name], value)
            for split, metrics in self.student.scores.items()
            for name, value in metrics.items()
        }

    def _comparison(self) -> list[tuple[str, str, str, str]]:
        assert self.teacher is not None
        assert self.student is not None
        theirs, own = self.teacher.cost, self.student.cost
        rows = [
            ("parameters", f"{theirs.parameters:,}", f"{own.parameters:,}", theirs.parameters / own.parameters),
            ("without embeddings", f"{theirs.inner:,}", f"{own.inner:,}", theirs.inner / own.inner),
            ("FLOPs of a text", f"{theirs.flops / 1e9:.3g} G", f"{own.flops / 1e9:.3g} G", theirs.flops / own.flops),
            ("time", f"{theirs.seconds * 1e3:.3g} ms", f"{own.seconds * 1e3:.3g} ms", theirs.seconds / own.seconds),
        ]
        table = [(name, first, second, f"{times:.1f} times less") for name, first, second, times in rows]
        for name, (first, second) in self._side_by_side().items():
            share = f"{self.kept[name]:.1%} kept" if name in self.kept else ""
            table.append((name, f"{first:.4f}", f"{second:.4f}", share))
        return table


def _stage_row(name: str, outcome: Mapping[str, Any]) -> tuple[str, str, str, str]:
    if "rows_written" in outcome:
        return name, f"{outcome['rows_written']:,} rows of {outcome['rows_read']:,}", "", ""
    shown = [_values(outcome[part]) for part in ("first", "last", "dev")]
    skipped = [f"without {part}: {why}" for part, why in outcome["skipped"].items()]
    told = [" → ".join(filter(None, shown[:2])), f"dev {shown[2]}" if shown[2] else "", *skipped]
    took = f"{outcome['seconds']:.0f} s, {outcome['tokens_per_second']:,.0f} tokens/s"
    return name, f"{outcome['updates']:,} updates, {outcome['epochs']:.3g} epochs", took, "; ".join(filter(None, told))


def _values(values: Mapping[str, float | None]) -> str:
    """Losses and the like, without what is always there."""
    hidden = ("learning_rate", "grad_norm", "tokens_per_second", "seconds", "loss_scale")
    names = [name for name in values if name not in hidden]
    if len(names) > 2 and "loss" in names:
        names.remove("loss")  # the sum of the others
    return ", ".join(f"{name} {values[name]:.4g}" for name in names if values[name] is not None)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """In markdown."""
    return [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]
