"""What a record of a file says: the cells that are wanted, by role, or why it cannot be used."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from plm.data.tables import Wanted
from plm.errors import DataError, did_you_mean


@dataclass(frozen=True)
class Refused:
    """A record that cannot be used."""

    reason: str


class Unfit(Exception):
    """A record cannot be used; the message is the reason."""


Raw = bytes | tuple[Any, ...] | Refused
"""A line without its end, cells or values, or what could not even be cut out of its file."""

Parse = Callable[[Any], Mapping[str, str]]
"""Record -> role -> cell. Raises Unfit."""


@dataclass(frozen=True)
class JsonCells:
    """Of one JSON object a line."""

    wanted: Wanted

    def __call__(self, raw: bytes) -> dict[str, str]:
        """See Parse."""
        try:
            values = json.loads(_text(raw))
        except (ValueError, RecursionError) as error:
            raise Unfit(f"not JSON ({error}); every line must hold one whole object") from error
        if not isinstance(values, dict):
            raise Unfit(f"expected a JSON object, got {type(values).__name__}; one object a line, no list around")
        for key in self.wanted.values():
            if key not in values:
                raise Unfit(f"no key {key!r}{did_you_mean(str(key), values)} (keys: {', '.join(map(repr, values))})")
        return {role: _told(values[str(key)], f"key {key!r}") for role, key in self.wanted.items()}


@dataclass(frozen=True)
class TableCells:
    """Of lines with tabs, or of cells. indexes: role -> place in a row of `width`. names: of the columns, if known."""

    indexes: tuple[tuple[str, int], ...]
    width: int
    names: tuple[str, ...] | None

    @staticmethod
    def split(raw: Raw) -> tuple[str, ...] | None:
        """The cells; None = there are none, as the line is no text."""
        if isinstance(raw, bytes):
            try:
                return tuple(raw.decode().split("\t"))
            except UnicodeDecodeError:
                return None
        return None if isinstance(raw, Refused) else raw

    def __call__(self, raw: bytes | tuple[str, ...]) -> dict[str, str]:
        """See Parse."""
        cells = raw if isinstance(raw, tuple) else _text(raw).split("\t")
        if len(cells) != self.width:
            listed = f" ({', '.join(self.names)})" if self.names else ", as in the first line"
            hint = "commas, quotes and line breaks inside a text need quotes around it"
            if not isinstance(raw, tuple):
                hint = "quoting is off in TSV: replace tabs inside a text by spaces, or save the file as CSV"
            raise Unfit(f"expected {self.width} columns{listed}, got {len(cells)}; {hint}")
        return {role: cells[index] for role, index in self.indexes}


@dataclass(frozen=True)
class ValueCells:
    """Of values in the order of the wanted columns."""

    wanted: tuple[tuple[str, str | int], ...]

    def __call__(self, raw: tuple[Any, ...]) -> dict[str, str]:
        """See Parse."""
        return {
            role: _told(value, f"column {column!r}") for (role, column), value in zip(self.wanted, raw, strict=True)
        }


def find_column(column: str | int, names: tuple[str, ...] | None, width: int, where: str) -> int:
    """Where a column stands in a row of `width` cells.

    names: of the columns; None = unknown. where: file and line, for messages.
    Raises DataError when there is no such column, or several.
    """
    if isinstance(column, int):
        if -width <= column < width:
            return column
        raise DataError(f"{where}: column {column} is asked for, but there are {width} columns, 0 to {width - 1}")
    if names is None:
        raise DataError(f"{where}: column {column!r} is asked for by name, but no line names columns: give its index")
    if names.count(column) == 1:
        return names.index(column)
    trouble = "more than one column" if column in names else "no column"
    hint = did_you_mean(column, names) if column not in names else "; give its index instead"
    listed = ", ".join(map(repr, names))
    raise DataError(f"{where}: {trouble} {column!r}{hint} (columns: {listed}; give indexes if line 1 is data)")


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise Unfit(
            f"byte {error.start + 1} is not UTF-8; convert the file first, for example with `iconv -f latin1 -t utf-8`"
        ) from error


def _told(value: Any, where: str) -> str:
    """Texts as they are, numbers and truth values as JSON writes them."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return _text(value)
    if isinstance(value, (bool, int, float)):
        return json.dumps(value)
    raise Unfit(f"{where}: expected a text, got {'null' if value is None else type(value).__name__}")
