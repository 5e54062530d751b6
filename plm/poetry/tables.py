"""The tables that lie in plm/assets/poetry: tab separated text, read when first asked for."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any


def read_text(name: str) -> str:
    """A file of the folder as text."""
    return resources.files("plm").joinpath("assets", "poetry", name).read_text(encoding="utf-8")


def read_rows(name: str) -> list[list[str]]:
    """The fields of every line of a .tsv file."""
    # Only "\n" ends a row: str.splitlines() would also cut at rarer signs.
    return [line.split("\t") for line in read_text(name).split("\n") if line]


def read_object(name: str) -> dict[str, Any]:
    """A .json file that holds one object."""
    values = json.loads(read_text(name))
    assert isinstance(values, dict), name
    return values
