"""What happened to every tensor of a checkpoint while a model was loaded."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class LoadReport:
    """The account of one load; `str(report)` is what people read.

    source: file or prefix read. format: its container. layout: the table of names. prefix: before backbone names.
    wrapper: prefix of a training framework that was taken off.
    loaded: tensors of ours that were filled. missing: tensors of ours that were not in the source and are initialised
        (only heads and poolers: a missing backbone tensor is an error).
    mismatched: head tensors whose stored shape does not fit, with both shapes; initialised as well.
    unused: tensors of the source that belong to heads not asked for, or to nothing plm knows.
    ignored: tensors of the source that are no weights, with the reason.
    """

    source: Path
    format: str
    layout: str
    model_type: str
    prefix: str = ""
    wrapper: str = ""
    loaded: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    mismatched: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    ignored: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """The report, one fact a line."""
        lines = [
            f"{self.model_type} from {self.source} ({self.format}, names: {self.layout}): {len(self.loaded)} tensors"
        ]
        if self.wrapper:
            lines.append(f"prefix {self.wrapper!r} of a training framework was taken off")
        for title, names in (("new, initialised", self.missing), ("other shape, initialised", self.mismatched)):
            if names:
                lines.append(f"{title}: {', '.join(names)}")
        if self.unused:
            lines.append(f"in the file but not used: {_some(self.unused)}")
        reasons: dict[str, int] = {}
        for reason in self.ignored.values():
            reasons[reason] = reasons.get(reason, 0) + 1
        lines += [f"ignored {count}: {reason}" for reason, count in reasons.items()]
        return [*lines, *self.notes]

    def __str__(self) -> str:
        return "\n".join(self.lines())


def _some(names: tuple[str, ...], most: int = 6) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
