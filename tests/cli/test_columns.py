"""A column is a number where it can be one, else a name."""

from __future__ import annotations

import pytest

from plm.cli.columns import as_column


@pytest.mark.parametrize(("text", "column"), [("0", 0), ("-1", -1), ("text", "text"), ("2nd", "2nd"), (None, None)])
def test_numbers_and_names(text: str | None, column: str | int | None) -> None:
    assert as_column(text) == column
