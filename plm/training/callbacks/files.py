"""The history in a file, as it grows."""

from __future__ import annotations

import csv
import io
import json
from abc import abstractmethod
from pathlib import Path
from typing import IO

from plm.config import write_text
from plm.training.callbacks.callback import Callback
from plm.training.run import Record, Run

_PLACE = ("kind", "update", "epoch", "tokens", "seconds")


class _HistoryFile(Callback):
    """Writes entries as they come. At the start the file is written anew from the history of the run.

    So a continued run has every line once: lines after the checkpoint, or half a line at the end, are gone.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._file: IO[str] | None = None

    @abstractmethod
    def _line(self, record: Record) -> str:
        """An entry as text, with a line end."""

    def _head(self) -> str:
        """What stands before the first entry."""
        return ""

    def on_start(self, run: Run) -> None:
        """Write what there is, and open the file for more."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._rewrite(run)

    def on_log(self, run: Run, record: Record) -> None:
        """Write an entry."""
        assert self._file is not None, "on_log before on_start"
        self._file.write(self._line(record))
        self._file.flush()

    def on_stop(self, run: Run) -> None:
        """Close the file."""
        self._close()

    def _rewrite(self, run: Run) -> None:
        self._close()
        write_text(self.path, self._head() + "".join(map(self._line, run.history)))
        self._file = self.path.open("a", encoding="utf-8", newline="")

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()


class JsonLines(_HistoryFile):
    """Writes every entry of the history to a file as soon as it is there, one JSON object a line.

    Keys: kind, update, epoch, tokens, seconds, and the values. A value that is not finite is written as null.
    """

    def _line(self, record: Record) -> str:
        values = {name: value if abs(value) < float("inf") else None for name, value in record.values.items()}
        return json.dumps({name: getattr(record, name) for name in _PLACE} | values, allow_nan=False) + "\n"


class CommaSeparated(_HistoryFile):
    """Writes every entry of the history to a CSV file as soon as it is there, one row each, for spreadsheets.

    Columns: kind, update, epoch, tokens, seconds, and the values, in the order in which they were first seen; when one
    more comes, the file is written anew. A value that an entry does not have stays empty.
    """

    def __init__(self, path: Path | str) -> None:
        super().__init__(path)
        self._columns: dict[str, None] = {}

    def on_start(self, run: Run) -> None:
        """Write what there is, and open the file for more."""
        self._columns = dict.fromkeys([*_PLACE, *(name for record in run.history for name in record.values)])
        super().on_start(run)

    def on_log(self, run: Run, record: Record) -> None:
        """Write a row."""
        if record.values.keys() <= self._columns.keys():
            super().on_log(run, record)
        else:
            self._columns |= dict.fromkeys(record.values)
            self._rewrite(run)

    def _head(self) -> str:
        return _row(list(self._columns))

    def _line(self, record: Record) -> str:
        values = {name: getattr(record, name) for name in _PLACE} | dict(record.values)
        return _row([values.get(name, "") for name in self._columns])


def _row(cells: list[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()
