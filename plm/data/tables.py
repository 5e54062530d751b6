"""Rows of tab-separated, comma-separated and JSON lines files, each with the line it stands on."""

from __future__ import annotations

import csv
import gzip
import json
import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from plm.errors import DataError, did_you_mean
from plm.registry import Registry

Wanted = Mapping[str, str | int]
"""Role ("text", "label", ...) -> the column that holds it: a name, or an index from 0 (negative: from the end)."""

Cell = str | tuple[str, ...]
Row = tuple[int, dict[str, Cell | None]]
"""Line number from 1, and role -> cell; None only where JSON says null."""


@dataclass(frozen=True)
class TableFormat:
    """suffixes: file names that mean this format. rows: (path, wanted, True = line 1 names the columns) -> rows."""

    suffixes: tuple[str, ...]
    rows: Callable[[Path, Wanted, bool], Iterator[Row]]


FORMATS: Registry[TableFormat] = Registry("table format")

# Suffix of compressed files -> what opens them.
_COMPRESSED: Mapping[str, Callable[[Path], IO[bytes] | gzip.GzipFile | lzma.LZMAFile]] = {
    ".gz": gzip.GzipFile,
    ".xz": lzma.LZMAFile,
}


def read_rows(
    path: Path | str, wanted: Wanted, *, format: str | None = None, header: bool | None = None
) -> Iterator[Row]:
    """The wanted cells of every row, in the order of the file.

    format: a name in FORMATS; None = told by the suffix, behind which .gz or .xz may stand.
    header: True = line 1 names the columns. None = it does when `wanted` holds names, not when it holds indexes.
    Text is UTF-8, with or without byte order mark. Blank lines at the end are passed over, others are errors.
    Raises DataError with file, line and column; UnknownNameError for an unknown format.
    """
    path = Path(path)
    named = any(isinstance(column, str) for column in wanted.values())
    return FORMATS.get(format or format_of(path)).rows(path, wanted, named if header is None else header)


def read_lines(path: Path | str) -> Iterator[tuple[int, str]]:
    """Numbered lines without their ends. Only \\n and \\r\\n end a line: U+2028 and the like are text.

    Files that end in .gz or .xz are unpacked on the way. Raises DataError when the file is missing, damaged, or not
    UTF-8 (with line and byte).
    """
    path = Path(path)
    try:
        with _COMPRESSED.get(path.suffix.lower(), _plain)(path) as file:
            for number, raw in enumerate(file, 1):
                yield number, _decoded(raw, number, path).removesuffix("\n").removesuffix("\r")
    except (gzip.BadGzipFile, lzma.LZMAError, zlib.error, EOFError) as error:
        raise DataError(f"{path}: damaged, or not what its suffix {path.suffix!r} says: {error}") from error
    except OSError as error:
        is_lost = path.parent.is_dir() and not path.exists()
        siblings = [entry.name for entry in path.parent.iterdir()] if is_lost else []
        raise DataError(f"{path}: cannot be read: {error.strerror}{did_you_mean(path.name, siblings)}") from error


def without_blank_end(rows: Iterable[tuple[int, Any]], is_blank: Callable[[Any], bool]) -> Iterator[tuple[int, Any]]:
    """The rows up to the last that is not blank."""
    held: list[tuple[int, Any]] = []
    for row in rows:
        held.append(row)
        if not is_blank(row[1]):
            yield from held
            held.clear()


def _plain(path: Path) -> IO[bytes]:
    return path.open("rb")


def _decoded(raw: bytes, number: int, path: Path) -> str:
    try:
        return raw.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}, line {number}, byte {error.start + 1}: not UTF-8. Convert the file first, for example "
            f"`iconv -f gb18030 -t utf-8` for Chinese text or `iconv -f latin1 -t utf-8` for European."
        ) from error


def format_of(path: Path) -> str:
    """The name in FORMATS that the suffix tells. Raises DataError when it tells none."""
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() not in _COMPRESSED]
    for name, table_format in FORMATS.items():
        if suffixes and suffixes[-1] in table_format.suffixes:
            return name
    raise DataError(f"{path}: the suffix {path.suffix!r} tells no format; pass format=, one of {', '.join(FORMATS)}")


def _tsv_rows(path: Path, wanted: Wanted, header: bool) -> Iterator[Row]:
    """Quotes are text, as in GLUE's files; therefore no cell can hold a tab or a line break."""
    lines = without_blank_end(read_lines(path), lambda line: not line.strip("\r"))
    cells = ((number, line.split("\t")) for number, line in lines)
    hint = "Quoting is off in TSV: replace tabs and line breaks inside a text by spaces, or save the file as CSV"
    return _table_rows(cells, path, wanted, header, hint)


def _csv_rows(path: Path, wanted: Wanted, header: bool) -> Iterator[Row]:
    hint = "A text with commas, quotes or line breaks must stand in double quotes, its own quotes doubled"
    return _table_rows(without_blank_end(_csv_cells(path), lambda cells: not cells), path, wanted, header, hint)


def _csv_cells(path: Path) -> Iterator[tuple[int, list[str]]]:
    """RFC 4180. A record is numbered by its first line."""
    reader = csv.reader((line + "\n" for _, line in read_lines(path)), strict=True)
    while True:
        first = reader.line_num + 1
        try:
            yield first, next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(
                f"{path}, line {first}: the record that starts here is not CSV ({error}). Often a quote inside a text "
                f'is not doubled, or never closed; tab-separated files without quoting are format="tsv".'
            ) from error


def _table_rows(
    rows: Iterator[tuple[int, list[str]]], path: Path, wanted: Wanted, header: bool, hint: str
) -> Iterator[Row]:
    """Pick the wanted cells; every row must have as many cells as the first."""
    names: list[str] | None = None
    width, indexes = 0, dict[str, int]()
    for line, cells in rows:
        if not indexes:
            width, names = len(cells), [cell.strip() for cell in cells] if header else None
            indexes = {role: _index(column, names, width, f"{path}, line {line}") for role, column in wanted.items()}
            if header:
                continue
        if len(cells) != width:
            listed = f" ({', '.join(names)})" if names else ", as in the first line"
            raise DataError(f"{path}, line {line}: expected {width} columns{listed}, got {len(cells)}. {hint}.")
        yield line, {role: cells[index] for role, index in indexes.items()}


def _index(column: str | int, names: list[str] | None, width: int, where: str) -> int:
    """Where a column stands in a row of `width` cells."""
    if isinstance(column, int):
        if -width <= column < width:
            return column
        raise DataError(f"{where}: column {column} is asked for, but there are {width} columns, 0 to {width - 1}")
    if names is None:
        raise DataError(
            f"{where}: column {column!r} is asked for by name, but header=False says that no line names columns"
        )
    if names.count(column) == 1:
        return names.index(column)
    trouble = "more than one column" if column in names else "no column"
    hint = did_you_mean(column, names) if column not in names else "; give its index instead"
    listed = ", ".join(map(repr, names))
    raise DataError(f"{where}: {trouble} {column!r}{hint} (columns: {listed}; give indexes if line 1 is data)")


def _json_rows(path: Path, wanted: Wanted, header: bool) -> Iterator[Row]:
    """One object a line; the wanted columns are its keys."""
    for line, text in without_blank_end(read_lines(path), lambda line: not line.strip()):
        where = f"{path}, line {line}"
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where}: not JSON ({error}); every line must hold one whole object") from error
        if not isinstance(values, dict):
            raise DataError(
                f"{where}: expected a JSON object, got {type(values).__name__}; one object a line, no list around"
            )
        yield line, {role: _json_cell(values, key, where) for role, key in wanted.items()}


def _json_cell(values: dict[str, Any], key: str | int, where: str) -> Cell | None:
    """Texts as they are, numbers and truth values as JSON writes them, lists of such as tuples."""
    if key not in values:
        raise DataError(
            f"{where}: no key {key!r}{did_you_mean(str(key), values)} (keys: {', '.join(map(repr, values))})"
        )
    value = values[str(key)]
    if isinstance(value, list) and not any(isinstance(item, (list, dict)) or item is None for item in value):
        return tuple(_json_text(item) for item in value)
    if isinstance(value, (list, dict)):
        raise DataError(f"{where}, key {key!r}: expected a text, a number or a list of them, got {value!r:.60}")
    return None if value is None else _json_text(value)


def _json_text(value: str | float | bool) -> str:
    return value if isinstance(value, str) else json.dumps(value)


FORMATS.add("tsv", TableFormat(suffixes=(".tsv",), rows=_tsv_rows))
FORMATS.add("csv", TableFormat(suffixes=(".csv",), rows=_csv_rows))
FORMATS.add("jsonl", TableFormat(suffixes=(".jsonl", ".json"), rows=_json_rows))
