"""Records in numbered blocks, each of which becomes one part of the output, wherever and whenever it is worked on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from plm.bulk.cells import Refused
from plm.bulk.records import Record, Records

# Of the records of a block, about: long texts make short blocks, so that memory is bounded.
_BLOCK_BYTES = 1 << 24


@dataclass(frozen=True)
class Block:
    """Records, side by side in their file. number: of the block, from 0. done: of the file, when it ends."""

    number: int
    records: tuple[Record, ...]
    done: int

    @cached_property
    def digest(self) -> str:
        """16 hex digits that change when the records do."""
        told = hashlib.sha256()
        for _, raw in self.records:
            told.update(raw if isinstance(raw, bytes) else json.dumps(raw, default=_plain).encode())
            told.update(b"\n")
        return told.hexdigest()[:16]

    @property
    def lines(self) -> tuple[int, int]:
        """Numbers of the first and the last record."""
        return self.records[0][0], self.records[-1][0]


def cut_into_blocks(records: Records, *, rows: int) -> Iterator[Block]:
    """All records, `rows` at a time, or fewer that are long."""
    number, held, size = 0, list[Record](), 0
    for record in records:
        held.append(record)
        size += _bytes(record[1])
        if len(held) == rows or size >= _BLOCK_BYTES:
            yield Block(number, tuple(held), records.position())
            number, held, size = number + 1, [], 0
    if held:
        yield Block(number, tuple(held), records.position())


def _bytes(raw: Any) -> int:
    """About."""
    if isinstance(raw, bytes):
        return len(raw)
    return sum(len(cell) for cell in raw if isinstance(cell, (str, bytes))) if isinstance(raw, tuple) else 0


def _plain(value: Any) -> str:
    """What JSON does not know, as text."""
    return value.reason if isinstance(value, Refused) else repr(value)
