"""Columns of a file, as they are named on a command line."""

from __future__ import annotations

from typing import overload


@overload
def as_column(text: str) -> str | int: ...
@overload
def as_column(text: None) -> None: ...
@overload
def as_column(text: str | None) -> str | int | None: ...


def as_column(text: str | None) -> str | int | None:
    """A number, counted from 0 (negative: from the end), or a name."""
    if text is None:
        return None
    return int(text) if text.removeprefix("-").isdecimal() else text
