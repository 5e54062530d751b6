"""Blocks of text that are not read yet: where they lie, so that those who work on them read them.

    for block in find_blocks(files, layout):        # costs next to nothing
        parsed = documents_of(read(block), layout)  # wherever the files can be reached

The blocks are those of `read_blocks`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from plm.corpus.files import UNPACKERS
from plm.corpus.reading import BEGINNING, Block, Position, TextLayout, read_blocks
from plm.errors import DataError

# Before the end of a block, most often: bytes that hold the end of a line.
_REACH = 1 << 12


@dataclass(frozen=True, kw_only=True)
class BlockPlace:
    """A block of a plain file but for its bytes, which are those from `offset` to `end`. The rest is as in Block."""

    path: str
    file: int
    offset: int
    end: int
    is_last_of_file: bool

    @property
    def next(self) -> Position:
        """Where reading goes on after this block."""
        return Position(self.file + 1, 0) if self.is_last_of_file else Position(self.file, self.end)

    def read(self) -> Block:
        """Raises DataError for a file that cannot be read or has become shorter."""
        try:
            with Path(self.path).open("rb") as file:
                file.seek(self.offset)
                raw = file.read(self.end - self.offset)
        except OSError as error:
            raise DataError(
                f"{self.path}: cannot be read: {error.strerror}. Every machine that works on the text must find it "
                "under this path"
            ) from error
        if self.offset + len(raw) < self.end:
            raise DataError(
                f"{self.path}: ends at byte {self.offset + len(raw)}, though it had {self.end} before: it was changed "
                "since. Bring the old file back, or begin anew"
            )
        return Block(
            path=self.path,
            file=self.file,
            offset=self.offset,
            raw=raw,
            is_last_of_file=self.is_last_of_file,
            disk_end=self.end,
        )


def read(block: Block | BlockPlace) -> Block:
    """The block with its bytes."""
    return block.read() if isinstance(block, BlockPlace) else block


def find_blocks(
    files: Sequence[Path], layout: TextLayout, *, start: Position = BEGINNING, size: int = 1 << 20
) -> Iterator[Block | BlockPlace]:
    """The blocks of `read_blocks`, with the same arguments and errors; those of plain files are yet to be read.

    A line that is longer than a block comes as a Block: it is read to be found.
    """
    if not 0 <= start.file < len(files):
        yield from read_blocks(files, layout, start=start, size=size)
    for number in range(max(0, start.file), len(files)):
        begin = start if number == start.file else Position(number, 0)
        is_packed = files[number].suffix.lower() in UNPACKERS
        yield from (read_blocks if is_packed else _places)(files[: number + 1], layout, start=begin, size=size)


def _places(files: Sequence[Path], layout: TextLayout, *, start: Position, size: int) -> Iterator[Block | BlockPlace]:
    """The blocks of the last of the files."""
    _first(files, layout, start, min(size, 1))  # refuses what is no text in the layout, or has changed
    with files[start.file].open("rb") as file:
        length = file.seek(0, os.SEEK_END)
        while start.file < len(files):
            end = _end(file, start.offset, min(start.offset + size, length), length)
            block = _first(files, layout, start, size) if end is None else _place(file.name, start, end, length)
            yield block
            start = block.next


def _end(file: IO[bytes], offset: int, limit: int, length: int) -> int | None:
    """Where the last line ends that does so up to `limit`; None = none does."""
    if limit == length:
        return length
    for begin in (max(offset, limit - _REACH), offset):
        file.seek(begin)
        if (found := file.read(limit - begin).rfind(b"\n")) >= 0:
            return begin + found + 1
    return None


def _first(files: Sequence[Path], layout: TextLayout, start: Position, size: int) -> Block | BlockPlace:
    return next(read_blocks(files, layout, start=start, size=size))


def _place(path: str, start: Position, end: int, length: int) -> Block | BlockPlace:
    return BlockPlace(path=path, file=start.file, offset=start.offset, end=end, is_last_of_file=end == length)
