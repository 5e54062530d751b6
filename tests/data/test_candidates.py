"""Queries and candidates: pairs and triples are read with their groups, or the message names line and column."""

from __future__ import annotations

from pathlib import Path

import pytest

from plm.data.candidates import PairColumns, TripleColumns, group_candidates, read_candidates
from plm.errors import DataError
from tests.shared_data import shared_data
from tests.tiny_folders import write_rows


def test_pairs_belong_together_by_their_query(tmp_path: Path) -> None:
    rows = [("query", "text", "label"), ("how old", "ten", "2"), ("who", "me", "0"), ("how old", "blue", "0")]
    candidates = read_candidates(write_rows(tmp_path / "a.tsv", rows), PairColumns())
    assert [(candidate.text, candidate.label, candidate.line) for candidate in candidates] == [
        ("ten", 2, 2),
        ("me", 0, 3),
        ("blue", 0, 4),
    ]
    assert group_candidates(candidates) == {"how old": [0, 2], "who": [1]}


def test_a_column_of_groups_wins_over_the_query(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"q": "x", "t": "a", "g": 1}\n{"q": "x", "t": "b", "g": 2}\n', encoding="utf-8")
    candidates = read_candidates(path, PairColumns(query="q", text="t", label=None, group="g"))
    assert group_candidates(candidates) == {"1": [0], "2": [1]}
    assert candidates[0].label is None


def test_a_triple_is_two_candidates_of_a_group_of_their_own(tmp_path: Path) -> None:
    rows = [("text_a", "text_b", "text_b_neg"), ("q", "fits", "not"), ("q", "fits", "never")]
    candidates = read_candidates(write_rows(tmp_path / "a.tsv", rows), TripleColumns())
    found = [(candidate.id, candidate.text, candidate.label) for candidate in candidates]
    assert found == [("2+", "fits", 1), ("2-", "not", 0), ("3+", "fits", 1), ("3-", "never", 0)]
    assert group_candidates(candidates) == {"2": [0, 1], "3": [2, 3]}


@pytest.mark.parametrize(
    ("row", "match"),
    [
        (("q", " ", "1"), "line 3, column 'text': expected a text, got ' '"),
        (("", "t", "1"), "line 3, column 'query': expected a text, got ''"),
        (("q", "t", "0.5"), "line 3, column 'label': expected a whole number .* got '0.5'"),
        (("q", "t", "-1"), "line 3, column 'label': expected a whole number"),
        (("q", "t", "²"), "line 3, column 'label': expected a whole number"),
        (("q", "t"), "line 3: expected 3 columns"),
    ],
)
def test_a_wrong_row_is_named_with_line_and_column(row: tuple[str, ...], match: str, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.tsv", [("query", "text", "label"), ("q", "t", "1"), row])
    with pytest.raises(DataError, match=f"a.tsv, {match}"):
        read_candidates(path, PairColumns())


def test_a_file_without_rows_is_refused(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.tsv", [("query", "text", "label")])
    with pytest.raises(DataError, match="holds no candidates"):
        read_candidates(path, PairColumns())


@pytest.mark.parametrize(("split", "rows", "fitting"), [("train", 7694, 3857), ("dev", 1107, 545)])
def test_lcqmc_is_read_whole(split: str, rows: int, fitting: int) -> None:
    columns = PairColumns(query="sentence1", text="sentence2")
    candidates = read_candidates(shared_data("pair_zh", f"lcqmc_{split}.tsv"), columns)
    assert (len(candidates), sum(candidate.label == 1 for candidate in candidates)) == (rows, fitting)
