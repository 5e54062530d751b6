"""Rows as tab-separated values, so that a row is always one line and a cell never two."""

from __future__ import annotations

import json
from collections.abc import Iterable

_ESCAPES = {"\t": "\\t", "\r": "\\r", "\n": "\\n"}


def tsv_row(cells: Iterable[object]) -> str:
    """One line without its end. Texts are written as they are, None as nothing, anything else as JSON.

    A tab or line end inside a cell becomes the two characters \\t, \\r or \\n.
    """
    return "\t".join(_cell(cell) for cell in cells)


def _cell(cell: object) -> str:
    text = "" if cell is None else cell if isinstance(cell, str) else json.dumps(cell, ensure_ascii=False)
    for character, escape in _ESCAPES.items():
        text = text.replace(character, escape)
    return text
