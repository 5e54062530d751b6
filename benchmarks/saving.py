"""What a measurement prints as JSON lines, kept in a file."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from benchmarks.measure import setting


@contextlib.contextmanager
def saved_lines(file: Path, *, command: str, about: str) -> Iterator[None]:
    """Add each JSON object that is printed meanwhile to a file, with command, date and machine in its "setting".

    It is still printed, and is in the file as soon as its line has ended, so that an interrupted run leaves what it
    had. command: what makes these lines again. about: what is measured, in a sentence.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    begun = setting()["date"]
    with file.open("a", encoding="utf-8") as target:
        facts = {"date": begun, "command": command, "about": about}
        with contextlib.redirect_stdout(_Tee(sys.stdout, target, facts)):
            yield


class _Tee(io.TextIOBase):
    """Prints everything, and stores the lines that are JSON objects."""

    def __init__(self, screen: TextIO, target: TextIO, facts: Mapping[str, str]) -> None:
        self.screen, self.target, self.facts = screen, target, facts
        self._begun = ""

    def write(self, text: str) -> int:
        """Print, and store what has become whole lines."""
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            values = _object(line)
            if values is not None:
                # A line without a setting gets today's machine; what all lines of a run share is said by the run.
                values["setting"] = {**setting(), **values.get("setting", {}), **self.facts}
                self.target.write(json.dumps(values, ensure_ascii=False) + "\n")
                self.target.flush()
        return self.screen.write(text)

    def flush(self) -> None:
        """Of the screen; the file always is."""
        self.screen.flush()


def _object(line: str) -> dict[str, Any] | None:
    """The JSON object that a line is; None = it is something else."""
    try:
        values = json.loads(line)
    except ValueError:
        return None
    return values if isinstance(values, dict) else None
