"""Files of any size as numbered records, as they stand there: lines, cells of CSV, rows of Parquet.

Only what holds for the whole file is looked at here; a record that cannot even be cut out of it goes on as Refused.
What a record says is found out by `parse`, in the process that needs it.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import itertools
import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from plm.bulk.cells import JsonCells, Parse, Raw, Refused, TableCells, ValueCells, find_column
from plm.data.tables import Wanted, without_blank_end
from plm.errors import DataError, did_you_mean, optional_import
from plm.registry import Registry

Record = tuple[int, Raw]
"""Number of the line or row, from 1, and what stands there."""

LONGEST_LINE = 1 << 24
"""Bytes. A longer line is refused, so that a file without line ends fills no memory."""

_BOM = b"\xef\xbb\xbf"

_UNPACKED: Mapping[str, Callable[[IO[bytes]], Any]] = {
    ".gz": lambda file: gzip.GzipFile(fileobj=file),
    ".xz": lzma.LZMAFile,
    ".bz2": bz2.BZ2File,
}

# Rows of Parquet that are decoded at a time.
_AT_A_TIME = 1024


class Records(Protocol):
    """An open file.

    size: all of it, in the unit of `position`. unit: what is numbered, "line" or "row".
    parse: what the records say, by role; travels to other processes.
    """

    size: int
    unit: str
    parse: Parse

    def __iter__(self) -> Iterator[Record]:
        """The records in their order, once. Raises DataError when the rest of the file cannot be read."""
        ...

    def position(self) -> int:
        """How much of the file has been read."""
        ...


@dataclass(frozen=True)
class RecordFormat:
    """A row of RECORDS.

    suffixes: file names that mean it. open: (path, wanted, True = line 1 names the columns) -> records, as a context.
    """

    suffixes: tuple[str, ...]
    open: Callable[[Path, Wanted, bool], AbstractContextManager[Records]]


RECORDS: Registry[RecordFormat] = Registry("format of files to read")


@contextmanager
def open_records(path: Path, wanted: Wanted, *, format: str | None, header: bool | None) -> Iterator[Records]:
    """The records of a file.

    wanted: role -> column. format: a name in RECORDS; None = told by the suffix, behind which .gz, .xz or .bz2 may
    stand. header: None = line 1 names the columns when `wanted` holds names.
    Raises DataError for a file that cannot be read, or has no such columns.
    """
    if not path.is_file():
        siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        trouble = "not a regular file" if path.exists() else f"no such file{did_you_mean(path.name, siblings)}"
        raise DataError(f"{path}: {trouble}; reading must be able to begin again")
    is_named = any(isinstance(column, str) for column in wanted.values())
    row = RECORDS.get(format or _format_of(path))
    with _told(path), row.open(path, wanted, is_named if header is None else header) as records:
        yield records


def _format_of(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() not in _UNPACKED]
    for name, row in RECORDS.items():
        if suffixes and suffixes[-1] in row.suffixes:
            return name
    raise DataError(f"{path}: the suffix {path.suffix!r} tells no format; pass format=, one of {', '.join(RECORDS)}")


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """What a damaged file leads to as an error for users."""
    try:
        yield
    except (gzip.BadGzipFile, lzma.LZMAError, zlib.error, EOFError) as error:
        raise DataError(
            f"{path}: damaged, cut off, or not what its suffix {path.suffix!r} says: {error}; fetch it again"
        ) from error


class Lines:
    """Lines of a plain or packed file, without their ends. Only \\n and \\r\\n end a line."""

    def __init__(self, path: Path) -> None:
        self._disk = path.open("rb")
        unpack = _UNPACKED.get(path.suffix.lower())
        self._file = unpack(self._disk) if unpack else self._disk
        self.size = path.stat().st_size

    def __iter__(self) -> Iterator[Record]:
        for number in itertools.count(1):
            raw = self._file.readline(LONGEST_LINE)
            if not raw:
                return
            if len(raw) == LONGEST_LINE and not raw.endswith(b"\n"):
                while (rest := self._file.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
                    pass
                yield number, Refused(f"the line is longer than {LONGEST_LINE >> 20} MiB")
                continue
            yield number, (raw.removeprefix(_BOM) if number == 1 else raw).removesuffix(b"\n").removesuffix(b"\r")

    def position(self) -> int:
        """Bytes of the file as it lies on the disk that have been read."""
        return self._disk.tell()

    def close(self) -> None:
        """Close the file."""
        self._disk.close()


class TextRecords:
    """Records made of lines. Blank ones at the end are none."""

    unit = "line"

    def __init__(self, lines: Lines, records: Iterable[Record], parse: Parse) -> None:
        self._records = records
        self.parse = parse
        self.size, self.position = lines.size, lines.position

    def __iter__(self) -> Iterator[Record]:
        return without_blank_end(self._records, _is_blank)


def _is_blank(raw: Raw) -> bool:
    return raw == () or (isinstance(raw, bytes) and not raw.strip(b" \r"))


@contextmanager
def _open_json_lines(path: Path, wanted: Wanted, header: bool) -> Iterator[Records]:
    with closing(Lines(path)) as lines:
        yield TextRecords(lines, lines, JsonCells(wanted))


@contextmanager
def _open_tsv(path: Path, wanted: Wanted, header: bool) -> Iterator[Records]:
    """Quotes are text, as in GLUE's files; therefore no cell can hold a tab or a line break."""
    with closing(Lines(path)) as lines:
        yield _with_columns(lines, iter(lines), path, wanted, header)


@contextmanager
def _open_csv(path: Path, wanted: Wanted, header: bool) -> Iterator[Records]:
    with closing(Lines(path)) as lines:
        yield _with_columns(lines, _csv_records(iter(lines)), path, wanted, header)


def _csv_records(lines: Iterator[Record]) -> Iterator[Record]:
    """RFC 4180, numbered by the first line of each. After a record that is no CSV the next line begins a new one."""
    refused: list[str] = []
    reader = csv.reader(_decoded(lines, refused), strict=True)
    while True:
        first = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            until = f" to {reader.line_num}" if reader.line_num > first else ""
            refused.append(
                f"the record of line {first}{until} is not CSV ({error}); often a quote inside a text is not doubled, "
                "or never closed"
            )
        yield first, Refused(refused[0]) if refused else tuple(cells)
        refused.clear()


def _decoded(lines: Iterator[Record], refused: list[str]) -> Iterator[str]:
    """Lines as text; of those that are none, the reason is added to `refused`."""
    for _, raw in lines:
        text = ""
        if isinstance(raw, bytes):
            try:
                text = raw.decode()
            except UnicodeDecodeError as error:
                refused.append(f"byte {error.start + 1} is not UTF-8")
                text = raw.decode(errors="replace")
        elif isinstance(raw, Refused):
            refused.append(raw.reason)
        yield text + "\n"


def _with_columns(lines: Lines, records: Iterator[Record], path: Path, wanted: Wanted, header: bool) -> Records:
    """Records whose line 1 tells how they are read; it holds data itself if it is no header."""
    line, first = next(records, (1, b""))
    cells = TableCells.split(first)
    if cells is None:
        raise DataError(f"{path}, line {line}: {first.reason if isinstance(first, Refused) else 'is not UTF-8'}")
    names = tuple(cell.strip() for cell in cells) if header else None
    where = f"{path}, line {line}"
    indexes = {role: find_column(column, names, len(cells), where) for role, column in wanted.items()}
    data = records if header else itertools.chain([(line, first)], records)
    return TextRecords(lines, data, TableCells(tuple(indexes.items()), len(cells), names))


@contextmanager
def _open_parquet(path: Path, wanted: Wanted, header: bool) -> Iterator[Records]:
    """`pip install "plm[parquet]"`."""
    parquet = optional_import("pyarrow.parquet", extra="parquet", purpose="reading Parquet files")
    try:
        file = parquet.ParquetFile(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as Parquet: {error}") from error
    with file:
        yield ParquetRows(file, path, wanted)


class ParquetRows:
    """Rows of an open file of pyarrow.parquet."""

    unit = "row"

    def __init__(self, file: Any, path: Path, wanted: Wanted) -> None:
        self._file = file
        names = tuple(self._file.schema_arrow.names)
        indexes = {role: find_column(column, names, len(names), str(path)) for role, column in wanted.items()}
        self._columns = [names[index] for index in indexes.values()]
        self._path = path
        self._read = 0
        self.size = self._file.metadata.num_rows
        self.parse: Parse = ValueCells(tuple(wanted.items()))

    def __iter__(self) -> Iterator[Record]:
        try:
            for batch in self._file.iter_batches(batch_size=_AT_A_TIME, columns=list(dict.fromkeys(self._columns))):
                for values in zip(*(self._values(batch.column(name)) for name in self._columns), strict=True):
                    self._read += 1
                    yield self._read, values
        except (OSError, ValueError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"{self._path}, after row {self._read}: the file is damaged: {error}") from error

    def position(self) -> int:
        """See Records. Rows."""
        return self._read

    def _values(self, column: Any) -> list[Any]:
        """Python values; texts of which one is not UTF-8 as bytes, to be told apart by row."""
        try:
            values: list[Any] = column.to_pylist()
        except UnicodeDecodeError:
            values = column.cast("large_binary").to_pylist()
        return values


RECORDS.add("tsv", RecordFormat(suffixes=(".tsv",), open=_open_tsv))
RECORDS.add("csv", RecordFormat(suffixes=(".csv",), open=_open_csv))
RECORDS.add("jsonl", RecordFormat(suffixes=(".jsonl", ".json"), open=_open_json_lines))
RECORDS.add("parquet", RecordFormat(suffixes=(".parquet",), open=_open_parquet))
