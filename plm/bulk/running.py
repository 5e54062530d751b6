"""A question about every row of a file, however large: in bounded memory, in several processes, and never twice.

    answer_file(Table("reviews.jsonl", Columns(text="review")), Predict(model="my-classifier"), "answers.parquet")

The file is cut into blocks of rows. What they lead to is written part by part beside the output; a call that was killed
goes on from the parts that are there, and finishes as if nothing had happened.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

import plm
from plm.bulk.blocks import Block, cut_into_blocks
from plm.bulk.draft import Draft
from plm.bulk.jobs import Job
from plm.bulk.outputs import Output, output_of
from plm.bulk.records import Records, open_records
from plm.bulk.work import Part, PartNote, Work
from plm.config import require_choice, require_positive
from plm.data.readers import Columns
from plm.errors import ConfigError, DataError
from plm.parallel import parallel_map

Engine = Callable[[Callable[[Block], Part], Iterable[Block]], Generator[Part, None, None]]
"""Does something with every block, somewhere, and gives the results in the order of the blocks."""

# What the libraries that compute ask for the number of their threads.
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Table:
    """A file to read. format: a name in RECORDS; None = told by the suffix.

    columns: `text`, `pair` and `id` of them. header: None = line 1 names the columns when `columns` holds names.
    """

    file: Path | str
    columns: Columns
    format: str | None = None
    header: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How the work is done; what comes out does not depend on it.

    workers: processes, which share the cores; 0 = this one alone. engine: who does the work in their place.
    rows: of a part. Rows of like length are computed together within it, and a crash costs some parts.
    refuse: what a row that cannot be used leads to: "error", or "skip", which lists it beside the output.
    overwrite: True = an output that is there is replaced, once the new one is whole, and what was begun with another
        model or other options is begun anew.
    """

    workers: int = 0
    engine: Engine | None = None
    rows: int = 2048
    refuse: str = "error"
    overwrite: bool = False

    def __post_init__(self) -> None:
        require_positive(self, "rows")
        require_choice(self, "refuse", ("error", "skip"))
        if self.workers < 0 or (self.engine is not None and self.workers):
            raise ConfigError(f"workers: expected 0 or more, and 0 with an engine, got {self.workers}")


@dataclass
class Done:
    """What came out: rows and tokens of them all, those of this call, its seconds, and how many rows were refused.

    listed: the file that says which, where there are any.
    """

    output: Path
    rows: int = 0
    tokens: int = 0
    new_rows: int = 0
    new_tokens: int = 0
    seconds: float = 0.0
    refused: int = 0
    listed: Path | None = None

    def add(self, note: PartNote, *, is_new: bool) -> None:
        """A part more."""
        self.rows += note.rows
        self.tokens += note.tokens
        self.refused += len(note.refused)
        if is_new:
            self.new_rows += note.rows
            self.new_tokens += note.tokens

    def __str__(self) -> str:
        rate = f", {self.new_rows / self.seconds:,.0f} rows/s" if self.new_rows and self.seconds else ""
        refused = f", {self.refused:,} refused: {self.listed}" if self.listed else ""
        return f"{self.output}: {self.rows:,} rows, {self.tokens:,} tokens{rate}{refused}"


def answer_file(
    table: Table, job: Job, output: Path | str, *, to: str | None = None, effort: Effort | None = None
) -> Done:
    """Ask about every row of a file, and write the answers in the order of the rows.

    to: a name in OUTPUTS; None = told by the suffix.
    The same call goes on where it was stopped: by Ctrl-C, a kill, a full disk, or a row that could not be used.
    Shows a progress bar on a terminal.
    Raises DataError for a file or row that cannot be read, an output that is there, a full disk, and for parts that
    were begun with other rows, another model or other options; anything that the model raises.
    """
    effort, file, output = effort or Effort(), Path(table.file), Path(output)
    form = output_of(output, to)
    if not output.parent.is_dir():
        raise DataError(f"{output}: there is no folder {output.parent}; make it first")
    if output.exists() and not effort.overwrite:
        raise DataError(f"{output}: is there already; name another file, or pass overwrite=True (--overwrite)")
    listed = output.with_name(f"{output.name}.refused.jsonl")
    wanted = {role: getattr(table.columns, role) for role in ("text", "pair", "id")}
    wanted = {role: column for role, column in wanted.items() if column is not None}
    with open_records(file, wanted, format=table.format, header=table.header) as records:
        origin = _origin(records, job, form, effort)
        with Draft(output, origin=origin, overwrite=effort.overwrite) as draft:
            work = Work(records.parse, table.columns, job, form.pack)
            done = _Filling(draft, records, file, effort, Done(output)).fill(work)
            refused = [
                {"file": str(file), records.unit: number, "reason": reason}
                for _, note in sorted(draft.notes.items())
                for number, reason in note.refused
            ]
            if not done.rows:
                reason = f": {refused[0]['reason']}" if refused else ""
                raise DataError(f"{file}: holds no rows that can be used{reason}")
            lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in refused]
            draft.finish(form.join, listed=listed, lines=lines)
    done.listed = listed if refused else None
    return done


def _origin(records: Records, job: Job, form: Output, effort: Effort) -> dict[str, Any]:
    """Everything that the answers depend on, rows apart: those tell by themselves when they change."""
    name = form.pack.__qualname__ if hasattr(form.pack, "__qualname__") else repr(form.pack)
    return {**job.origin(), "columns": repr(records.parse), "format": name, "rows": effort.rows, "plm": plm.__version__}


@dataclass
class _Filling:
    """The parts that a draft lacks, on their way into it. done: counts them all."""

    draft: Draft
    records: Records
    file: Path
    effort: Effort
    done: Done

    def fill(self, work: Work) -> Done:
        """Whatever happens, the draft stays true."""
        start = time.perf_counter()
        blocks = cut_into_blocks(self.records, rows=self.effort.rows)
        spread = self.effort.engine or partial(parallel_map, workers=self.effort.workers)
        self.bar = tqdm(
            total=self.records.size,
            desc=self.draft.output.name,
            disable=None,
            delay=1,
            bar_format="{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}",
        )
        with self.bar, _shared_threads(self.effort.workers), closing(spread(work, self._missing(blocks))) as parts:
            for part in parts:
                self._check(part.note)
                self.draft.add(part)
                self.done.add(part.note, is_new=True)
                self.done.seconds = time.perf_counter() - start
                self._show(part.done)
        return self.done

    def _missing(self, blocks: Iterator[Block]) -> Iterator[Block]:
        """The blocks that have no part yet."""
        unseen = set(self.draft.notes)
        for block in blocks:
            note = self.draft.notes.get(block.number)
            unseen.discard(block.number)
            if note is not None and note.digest != block.digest:
                first, last = block.lines
                self._refuse_change(f"{self.records.unit}s {first} to {last}")
                self.draft.drop(block.number)
                note = None
            if note is None:
                yield block
            else:
                self._check(note)
                self.done.add(note, is_new=False)
                if not self.done.new_rows:
                    self.bar.initial = self.bar.n = block.done
        for number in sorted(unseen):
            self._refuse_change("the end")
            self.draft.drop(number)

    def _check(self, note: PartNote) -> None:
        """Raise DataError for a row that cannot be used, if those are errors."""
        if note.refused and self.effort.refuse == "error":
            number, reason = note.refused[0]
            raise DataError(
                f'{self.file}, {self.records.unit} {number}: {reason}. Mend it, or pass refuse="skip" '
                "(--bad-rows skip) to list such rows and leave them out; either way the same call goes on from here"
            )

    def _refuse_change(self, what: str) -> None:
        if not self.effort.overwrite:
            raise DataError(
                f"{self.file}: {what} changed since {self.draft.folder} was begun; pass overwrite=True (--overwrite) "
                "to do again what changed"
            )

    def _show(self, position: int) -> None:
        done, rate = self.done, max(self.done.seconds, 1e-9)
        told = f"{done.rows:,} rows, {done.new_rows / rate:,.0f} rows/s, {done.new_tokens / rate:,.0f} tokens/s"
        self.bar.set_postfix_str(told, refresh=False)
        self.bar.update(position - self.bar.n)


@contextmanager
def _shared_threads(workers: int) -> Iterator[None]:
    """Processes that are started in here share the threads that this one would take."""
    before = {name: os.environ.get(name) for name in _THREADS}
    if workers:
        os.environ.update(dict.fromkeys(_THREADS, str(max(1, torch.get_num_threads() // workers))))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
