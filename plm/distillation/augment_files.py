"""Tables of training examples, and the same with variants of their texts, which the same task reads.

    augment_file("MRPC/train.tsv", "MRPC/train_aug.tsv", glue_task("mrpc").columns, augmenter)

Behind each row stand copies of it, with variants of its first text, then with variants of its second one: whatever else
is in the row (the other text, the label, identifiers) is as it was.
"""

from __future__ import annotations

import csv
import hashlib
import io
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from plm.data.readers import Columns, Example, read_examples
from plm.data.tables import format_of, read_lines
from plm.distillation.augment_draft import Draft
from plm.distillation.augmentation import TEXTS_AT_A_TIME, Augmenter
from plm.errors import ConfigError

Record = Any
"""A row as its format has it: a list of cells, or an object with keys."""


@dataclass(frozen=True, kw_only=True)
class AugmentationReport:
    """rows_read: examples of the source. added: rows more, by the column that they vary."""

    rows_read: int
    added: Mapping[str | int, int]

    @property
    def rows_written(self) -> int:
        """Examples of the target."""
        return self.rows_read + sum(self.added.values())

    def __str__(self) -> str:
        told = " and ".join(f"{count} with another {column!r}" for column, count in self.added.items())
        return f"{self.rows_written} rows: {self.rows_read} as they were, {told}"


@dataclass(frozen=True)
class RecordFormat:
    """records: path -> the records of a file, header included. line: a record -> what is written, with its line end."""

    records: Callable[[Path], Iterator[Record]]
    line: Callable[[Record], str]


def augment_file(
    source: Path | str,
    target: Path | str,
    columns: Columns,
    augmenter: Augmenter,
    *,
    format: str | None = None,
    header: bool | None = None,
) -> AugmentationReport:
    """Read a table as a task does, and write it with variants of its texts, in the same format.

    columns, format, header: as plm.data.read_examples takes them; the columns `text` and `pair` are varied. A line that
        names the columns is kept, and where there is none, none is written.
    target: packed if it ends in .gz or .xz; written aside and renamed, so that it is there as a whole or not at all.
    Interrupted or killed, the same call goes on where it stopped; the outcome is the same to the byte. Up to a minute
    and the last thousand texts are done again.
    Shows a progress bar on a terminal after two seconds. Raises DataError for a source that read_examples refuses,
    or what was begun with another one or in another way; ConfigError for a format that cannot be written, or a target
    that is the source.
    """
    source, target = Path(source), Path(target)
    name = format or format_of(source)
    if name not in RECORD_FORMATS:
        raise ConfigError(f"format {name!r} cannot be written; expected one of {', '.join(RECORD_FORMATS)}")
    if format is None and format_of(target) != name:
        raise ConfigError(f"{target}: the source is {name}, so the target should have a suffix of {name}, too")
    if target.exists() and target.samefile(source):
        raise ConfigError(f"{target}: is the source itself; give the target another name")
    examples = read_examples(source, columns, format=format, header=header)
    records, line = RECORD_FORMATS[name].records(source), RECORD_FORMATS[name].line
    names = next(records) if examples[0].line > 1 else None
    texts = {"text": columns.text} | ({} if columns.pair is None else {"pair": columns.pair})
    places = {role: _place(column, names) for role, column in texts.items()}
    told = {"columns": [columns.text, columns.pair], "format": format, "header": header}
    origin = {"source": _content(source), "variation": augmenter.fingerprint(), "reading": told}
    with Draft(target, origin=origin) as draft, _bar(len(examples), draft.progress.rows) as bar:
        if begun := draft.progress.rows:
            augmenter.load_state_dict(draft.progress.memory)
            next(itertools.islice(records, begun - 1, None))
        elif names is not None:
            draft.write([line(names)])
        for start in range(begun, len(examples), TEXTS_AT_A_TIME):
            chunk = examples[start : start + TEXTS_AT_A_TIME]
            varied = _varied(chunk, start, list(texts), augmenter)
            for number, record in enumerate(itertools.islice(records, len(chunk))):
                draft.write([line(record)])
                for role, variants in varied.items():
                    draft.write(line(_with(record, places[role], variant)) for variant in variants[number])
                    draft.progress.added[role] = draft.progress.added.get(role, 0) + len(variants[number])
            draft.done(len(chunk), augmenter.state_dict)
            bar.update(len(chunk))
        draft.finish()
    added = {column: draft.progress.added[role] for role, column in texts.items()}
    return AugmentationReport(rows_read=len(examples), added=added)


def _content(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _varied(
    examples: Sequence[Example], start: int, roles: Sequence[str], augmenter: Augmenter
) -> dict[str, list[list[str]]]:
    """By role, the variants of that text for each example. start: number of the first example in its file."""
    rows = range(start, start + len(examples))
    varied = {}
    for column, role in enumerate(roles):
        texts = [getattr(example, role) for example in examples]
        varied[role] = [variants for _, *variants in augmenter.augment_rows(texts, rows, column=column)]
    return varied


def _place(column: str | int, names: Record | None) -> str | int:
    """What a record calls a column: its index in a list, its key in an object."""
    if isinstance(column, int) or names is None:
        return column
    return [name.strip() for name in names].index(column)


def _with(record: Record, place: Any, text: str) -> Record:
    changed = record.copy()
    changed[place] = text
    return changed


def _tsv_records(path: Path) -> Iterator[Record]:
    return (line.split("\t") for _, line in read_lines(path))


def _tsv_line(cells: Record) -> str:
    line = "\t".join(cells)
    # The reader takes one carriage return for a part of the line end, so one that is text needs another behind it.
    return line + ("\r\n" if line.endswith("\r") else "\n")


def _csv_records(path: Path) -> Iterator[Record]:
    return csv.reader((line + "\n" for _, line in read_lines(path)), strict=True)


def _csv_line(cells: Record) -> str:
    written = io.StringIO()
    # RFC 4180's line ends; with them Python 3.11 quotes single carriage returns, too.
    csv.writer(written, lineterminator="\r\n").writerow([cell.replace("\r\n", "\r\r\n") for cell in cells])
    return written.getvalue()


def _json_records(path: Path) -> Iterator[Record]:
    return (json.loads(line) for _, line in read_lines(path))


def _json_line(values: Record) -> str:
    return json.dumps(values, ensure_ascii=False) + "\n"


RECORD_FORMATS: Mapping[str, RecordFormat] = {
    "tsv": RecordFormat(_tsv_records, _tsv_line),
    "csv": RecordFormat(_csv_records, _csv_line),
    "jsonl": RecordFormat(_json_records, _json_line),
}
"""The formats that can be written so that the readers of plm.data.tables find the same texts again."""


def _bar(rows: int, done: int) -> Any:
    return tqdm(total=rows, initial=done, desc="augmenting", unit="row", disable=None, delay=2, leave=False)
