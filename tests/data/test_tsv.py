"""A row is one line with as many cells as were given."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from plm.data.tsv import tsv_row


def test_texts_stay_and_other_values_become_json() -> None:
    assert tsv_row(["明月", 3, 0.5, True, None, {"a": [1]}]) == '明月\t3\t0.5\ttrue\t\t{"a": [1]}'


def test_tabs_and_line_ends_are_escaped() -> None:
    assert tsv_row(["a\tb\r\nc", "d"]) == "a\\tb\\r\\nc\td"


@settings(deadline=None, max_examples=50)
@given(st.lists(st.text(), min_size=1))
def test_every_row_is_one_line_with_its_cells(cells: list[str]) -> None:
    line = tsv_row(cells)
    assert "\n" not in line
    assert "\r" not in line
    assert len(line.split("\t")) == len(cells)
