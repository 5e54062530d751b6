"""A block of records to a part of the output: what every process does, on any machine."""

from __future__ import annotations

import contextlib
import multiprocessing
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

from tqdm import tqdm

from plm.bulk.blocks import Block
from plm.bulk.cells import Parse, Refused, Unfit
from plm.bulk.jobs import Ask, Counting, Job, Row
from plm.bulk.outputs import Pack
from plm.data.readers import Columns
from plm.errors import DataError
from plm.pipelines import Pipeline, TaskPipeline


@dataclass(frozen=True, kw_only=True)
class PartNote:
    """What is known of a part: the digest of its block, rows in it, tokens that were computed, refused records."""

    digest: str
    rows: int
    tokens: int
    refused: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class Part:
    """A part of the output. data: as its file holds it. done: of the input, as its block has it."""

    number: int
    note: PartNote
    data: bytes
    done: int


@dataclass
class Work:
    """Answers blocks. Picklable; the model is opened where and when the first block comes.

    columns: which there are; the texts stand in them. pack: rows to bytes.
    """

    parse: Parse
    columns: Columns
    job: Job
    pack: Pack
    _ask: Ask | None = field(default=None, init=False, repr=False)
    _counting: Counting | None = field(default=None, init=False, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_ask": None, "_counting": None}

    def __call__(self, block: Block) -> Part:
        """Every record has its place in the part, also one that is refused."""
        refused: dict[int, str] = {}
        rows = [row for number, raw in block.records if (row := self._row(number, raw, refused)) is not None]
        before = self._tokens
        told = self._told(rows, refused)
        note = PartNote(
            digest=block.digest,
            rows=len(told),
            tokens=self._tokens - before,
            refused=tuple(sorted(refused.items())),
        )
        return Part(block.number, note, self.pack([told.get(number) for number, _ in block.records]), block.done)

    def _row(self, number: int, raw: Any, refused: dict[int, str]) -> Row | None:
        """The row of a record; None where it is refused."""
        try:
            if isinstance(raw, Refused):
                raise Unfit(raw.reason)
            return _as_row(number, self.parse(raw), self.columns)
        except Unfit as error:
            refused[number] = str(error)
            return None

    def _told(self, rows: Sequence[Row], refused: dict[int, str]) -> dict[int, dict[str, Any]]:
        """What the output says of each row. The pipeline stops at one that it cannot use: halving finds which."""
        if not rows:
            return {}
        try:
            with contextlib.redirect_stderr(_Quiet(sys.stderr)):
                answers = self._opened()([row.asked for row in rows])
        except DataError as error:
            if len(rows) == 1:
                refused[rows[0].number] = str(error).removeprefix("text 0: ").removeprefix("question 0: ")
                return {}
            half = len(rows) // 2
            return self._told(rows[:half], refused) | self._told(rows[half:], refused)
        return {row.number: self.job.told(row, answer) for row, answer in zip(rows, answers, strict=True)}

    def _opened(self) -> Ask:
        if self._ask is None:
            if multiprocessing.parent_process():
                # Bars of all processes share a lock, which one that is ended leaves behind; here none is shown.
                tqdm.set_lock(threading.RLock())
            self._ask = self.job.open()
            if isinstance(self._ask, (Pipeline, TaskPipeline)):
                self._ask.runner = self._counting = Counting(self._ask.runner)
        return self._ask

    @property
    def _tokens(self) -> int:
        return self._counting.tokens if self._counting else 0


class _Quiet:
    """Standard error, but no terminal: the pipelines draw no progress bars of their own."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def isatty(self) -> bool:
        """False."""
        return False


def _as_row(number: int, cells: Mapping[str, str], columns: Columns) -> Row:
    for role, cell in cells.items():
        try:
            cell.encode()
        except UnicodeEncodeError as error:
            half = cell[error.start]
            raise Unfit(f"column {getattr(columns, role)!r}: holds half of a surrogate pair, {half!r}") from error
    if not cells["text"].strip():
        raise Unfit(f"column {columns.text!r}: the text is empty")
    return Row(number, cells.get("id", str(number)), cells["text"], cells.get("pair"))
