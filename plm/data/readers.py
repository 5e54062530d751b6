"""Text classification files to examples: declare the columns, get the examples, or an error that names the line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from plm.data.tables import Cell, read_lines, read_rows, without_blank_end
from plm.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which column holds what: a name of line 1, a JSON key, or an index from 0 (negative: from the end).

    pair: the second text of a pair; None = single texts.
    label: None = there are no labels, as in files to predict.
    id: None = the number of the line.
    label_separator: splits a cell with several labels, as in "news|sport"; None = one label each.
    """

    text: str | int
    pair: str | int | None = None
    label: str | int | None = None
    id: str | int | None = None
    label_separator: str | None = None


@dataclass(frozen=True, slots=True)
class Example:
    """One text or pair as it stands in a file.

    label: the written label; several of them as a tuple; None = unlabelled. plm.data.labels turns it into a number.
    line: where it stands in its file, from 1.
    """

    id: str
    text: str
    pair: str | None
    label: Cell | None
    line: int


# What stands in a label column when line 1 is a header after all.
_HEADER_WORDS = {"label", "labels", "class", "category", "target", "score", "intent", "gold_label", "is_duplicate"}


def read_examples(
    path: Path | str, columns: Columns, *, format: str | None = None, header: bool | None = None
) -> list[Example]:
    """All examples of a tsv, csv or jsonl file, in its order.

    format: "tsv" (quotes are text), "csv" (RFC 4180) or "jsonl"; None = told by the suffix.
    header: True = line 1 names the columns; None = it does when `columns` holds names.
    Raises DataError with file, line and column: wrong number of columns, unknown column, empty text, no rows at all.
    """
    wanted = {role: getattr(columns, role) for role in ("text", "pair", "label", "id")}
    wanted = {role: column for role, column in wanted.items() if column is not None}
    examples = []
    for line, cells in read_rows(path, wanted, format=format, header=header):
        if header is None and line == 1 and isinstance(columns.label, int):
            _refuse_header(cells.get("label"), path)
        examples.append(_example(line, cells, columns, f"{path}, line {line}"))
    if not examples:
        raise DataError(f"{path}: holds no examples")
    return examples


def read_parallel(text_file: Path | str, label_file: Path | str | None = None) -> list[Example]:
    """Examples of two files that agree line by line, as in the ATIS and SNIPS folders (`seq.in` and `label`).

    label_file: None = unlabelled. Raises DataError when one file is longer, naming both lengths, or a line is empty.
    """
    texts = _filled_lines(text_file)
    labels = [None] * len(texts) if label_file is None else _filled_lines(label_file)
    if len(texts) != len(labels):
        raise DataError(
            f"{text_file} has {len(texts)} lines, {label_file} has {len(labels)}; they must agree line by line"
        )
    return [
        Example(id=str(line), text=text, pair=None, label=label, line=line)
        for line, (text, label) in enumerate(zip(texts, labels, strict=True), 1)
    ]


def _filled_lines(path: Path | str) -> list[str]:
    lines = []
    for number, line in without_blank_end(read_lines(path), lambda line: not line.strip()):
        if not line.strip():
            raise DataError(f"{path}, line {number}: the line is empty")
        lines.append(line)
    if not lines:
        raise DataError(f"{path}: holds no lines")
    return lines


def _example(line: int, cells: dict[str, Cell | None], columns: Columns, where: str) -> Example:
    text = _text(cells["text"], f"{where}, column {columns.text!r}")
    if not text.strip():
        raise DataError(f"{where}, column {columns.text!r}: the text is empty; remove the line or fill it")
    return Example(
        id=_text(cells["id"], f"{where}, column {columns.id!r}") if "id" in cells else str(line),
        text=text,
        pair=_text(cells["pair"], f"{where}, column {columns.pair!r}") if "pair" in cells else None,
        label=_label(cells["label"], columns, where) if "label" in cells else None,
        line=line,
    )


def _text(cell: Cell | None, where: str) -> str:
    if isinstance(cell, str):
        return cell
    raise DataError(f"{where}: expected a text, got {'null' if cell is None else 'a list'}")


def _label(cell: Cell | None, columns: Columns, where: str) -> Cell:
    """The written label or labels, blanks around them removed."""
    if cell is None:
        raise DataError(
            f"{where}, column {columns.label!r}: the label is null; pass label=None for files without labels"
        )
    if isinstance(cell, str) and columns.label_separator is None:
        return cell.strip()
    parts = cell.split(columns.label_separator) if isinstance(cell, str) else cell
    return tuple(part.strip() for part in parts if part.strip())


def _refuse_header(label: Cell | None, path: Path | str) -> None:
    """A header read as data would become a class of its own, in silence."""
    if isinstance(label, str) and label.strip().lower() in _HEADER_WORDS:
        raise DataError(
            f"{path}, line 1: the label {label!r} looks like a header. Pass header=True if line 1 names the columns, "
            f"header=False if it is data."
        )
