"""A poem that was written, and which of several is the best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from plm.poetry.cleaning import COMMA, STOP
from plm.poetry.report import Report


@dataclass(frozen=True, kw_only=True)
class Poem:
    """A poem that was written.

    lines: without marks, in the script that was asked for. title: that of the wish. report: how it keeps its form (in
    simplified characters).
    score: mean log-probability of the characters that the model chose, under the model as it is. judged: that of all
    characters under a PoemJudge; None = there was none.
    copied: its lines that stand in the training data, but for those that were given. given: line and place of what
    was, counted from 1. notes: what was left out of the wish, for people.
    """

    lines: tuple[str, ...]
    form: str
    title: str
    score: float
    report: Report
    copied: tuple[str, ...] = ()
    given: tuple[tuple[int, int], ...] = ()
    notes: tuple[str, ...] = ()
    judged: float | None = None

    @property
    def text(self) -> str:
        """The lines with their marks, two a row."""
        marked = mark(self.lines)
        return "\n".join("".join(marked[start : start + 2]) for start in range(0, len(marked), 2))

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "title": self.title,
            "lines": list(self.lines),
            "form": self.form,
            "score": self.score,
            "judged": self.judged,
            "copied": list(self.copied),
            "given": [list(place) for place in self.given],
            "notes": list(self.notes),
            "report": self.report.to_dict(),
        }


def mark(lines: Sequence[str]) -> list[str]:
    """Each line with its mark: ， and 。 by turns, 。 at the end."""
    last = len(lines) - 1
    return [line + (STOP if place % 2 or place == last else COMMA) for place, line in enumerate(lines)]


def best(poems: Sequence[Poem], n: int, *, may_copy: bool, judge_weight: float) -> list[Poem]:
    """The n best, the best first; fewer where candidates are alike.

    First come those that copy no line, if copies do not matter; of these the ones that keep most tones, as what is
    given may suit one order of lines better than another; then what the model, and a judge with its weight, think.
    """

    def place(poem: Poem) -> tuple[bool, int, float]:
        worth = poem.score + (0.0 if poem.judged is None else judge_weight * poem.judged)
        return bool(poem.copied) and not may_copy, len(poem.report.tone_errors), -worth

    different: dict[tuple[str, ...], Poem] = {}
    for poem in sorted(poems, key=place):
        different.setdefault(poem.lines, poem)
    return list(different.values())[:n]
