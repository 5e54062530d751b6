"""The updates that one record of the history stands for."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from plm.training.run import Record


class Window:
    """Gathers `size` updates into one record with the means over them; the learning rate is that of the last one."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._open: list[Record] = []
        self._tokens, self._seconds = 0, 0.0  # at the end of the last record

    def add(self, record: Record) -> Record | None:
        """Note an update; the finished record if it was the last of its window."""
        self._open.append(record)
        return self.close() if len(self._open) >= self.size else None

    def close(self) -> Record | None:
        """A record of the updates since the last one; None = there were none."""
        if not self._open:
            return None
        last = self._open[-1]
        values = _means([record.values for record in self._open])
        values["learning_rate"] = last.values["learning_rate"]
        values["tokens_per_second"] = (last.tokens - self._tokens) / max(last.seconds - self._seconds, 1e-9)
        self._open, self._tokens, self._seconds = [], last.tokens, last.seconds
        return dataclasses.replace(last, values=values)

    def state_dict(self) -> dict[str, Any]:
        """The updates that wait for their record."""
        waiting = [dataclasses.asdict(record) for record in self._open]
        return {"open": waiting, "tokens": self._tokens, "seconds": self._seconds}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from such a state."""
        self._open = [Record(**record) for record in state_dict["open"]]
        self._tokens, self._seconds = state_dict["tokens"], state_dict["seconds"]


def _means(rows: list[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each value over the rows that have it."""
    columns: dict[str, list[float]] = {}
    for row in rows:
        for name, value in row.items():
            columns.setdefault(name, []).append(value)
    return {name: sum(column) / len(column) for name, column in columns.items()}
