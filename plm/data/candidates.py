"""Queries and candidates that fit them more or less: files of triples, and of labelled pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from plm.data.tables import Cell, read_rows
from plm.errors import DataError


@dataclass(frozen=True, slots=True)
class Candidate:
    """A query and one text that may fit it.

    label: how well it fits; 0 = not at all, 1 = it fits, more = better; None = unknown.
    group: the same for all candidates of a query. line: where it stands in its file, from 1.
    """

    id: str
    query: str
    text: str
    label: int | None
    group: str
    line: int


@dataclass(frozen=True, kw_only=True)
class PairColumns:
    """Labelled pairs, one a row: names of line 1, JSON keys, or indexes from 0.

    label: None = unlabelled. group: None = rows with the same query belong together.
    """

    query: str | int = "query"
    text: str | int = "text"
    label: str | int | None = "label"
    group: str | int | None = None


@dataclass(frozen=True, kw_only=True)
class TripleColumns:
    """A query, a text that fits and one that does not, one triple a row, as in PaddlePALM's pairwise matching."""

    query: str | int = "text_a"
    positive: str | int = "text_b"
    negative: str | int = "text_b_neg"


def read_candidates(
    path: Path | str,
    columns: PairColumns | TripleColumns,
    *,
    format: str | None = None,
    header: bool | None = None,
) -> list[Candidate]:
    """The candidates of a tsv, csv or jsonl file, in its order; a triple gives two, labelled 1 and 0.

    format, header: as plm.data.read_rows. Raises DataError naming the line of an empty text, or a label that is no
    whole number from 0.
    """
    names = {role: getattr(columns, role) for role in columns.__dataclass_fields__}
    wanted = {role: column for role, column in names.items() if column is not None}
    candidates: list[Candidate] = []
    for line, cells in read_rows(path, wanted, format=format, header=header):
        candidates += _candidates(line, cells, names, f"{path}, line {line}")
    if not candidates:
        raise DataError(f"{path}: holds no candidates")
    return candidates


def group_candidates(candidates: Sequence[Candidate]) -> dict[str, list[int]]:
    """The places of the candidates of every group, in the order of their first."""
    groups: dict[str, list[int]] = {}
    for place, candidate in enumerate(candidates):
        groups.setdefault(candidate.group, []).append(place)
    return groups


def _candidates(
    line: int, cells: Mapping[str, Cell | None], names: Mapping[str, str | int | None], where: str
) -> list[Candidate]:
    texts = {role: _filled(cells[role], f"{where}, column {names[role]!r}") for role in cells if role != "label"}
    query = texts["query"]
    if "positive" in texts:
        return [
            Candidate(f"{line}+", query, texts["positive"], 1, str(line), line),
            Candidate(f"{line}-", query, texts["negative"], 0, str(line), line),
        ]
    label = _label(cells["label"], f"{where}, column {names['label']!r}") if "label" in cells else None
    return [Candidate(str(line), query, texts["text"], label, texts.get("group", query), line)]


def _filled(cell: Cell | None, where: str) -> str:
    if isinstance(cell, str) and cell.strip():
        return cell
    raise DataError(f"{where}: expected a text, got {cell!r:.60}")


def _label(cell: Cell | None, where: str) -> int:
    if isinstance(cell, str) and cell.strip().isascii() and cell.strip().isdigit():
        return int(cell)
    raise DataError(f"{where}: expected a whole number that says how well the text fits, 0 = not, got {cell!r:.60}")
