"""The lines of the poems that a model learned from, so that it can tell what it only remembers."""

from __future__ import annotations

import hashlib
import sys
import zlib
from array import array
from collections.abc import Iterable
from itertools import accumulate, pairwise
from pathlib import Path

from plm.errors import CheckpointError

FILE_NAME = "known_lines.bin"

# Of a quarter of a million lines, one in 17,000 others is taken for one of them.
_HASH_BYTES = 4

# Bytes that the content of a file may take: sixteen million lines.
_MOST = 64 * 2**20


class KnownLines:
    """A set of lines, by their hashes.

    Its file holds the hashes in order, each as the difference to the one before (four bytes, the lowest first),
    deflated by zlib: less than three bytes a line.
    """

    def __init__(self, hashes: Iterable[int]) -> None:
        self._hashes = frozenset(hashes)

    @classmethod
    def of(cls, lines: Iterable[str]) -> KnownLines:
        """The set of these lines."""
        return cls(map(_hash, lines))

    def __contains__(self, line: object) -> bool:
        return isinstance(line, str) and _hash(line) in self._hashes

    def __len__(self) -> int:
        return len(self._hashes)

    def to_bytes(self) -> bytes:
        """The content of its file."""
        steps = array("I", (after - before for before, after in pairwise([0, *sorted(self._hashes)])))
        return zlib.compress(_little(steps).tobytes(), level=9)

    @classmethod
    def load(cls, folder: Path) -> KnownLines | None:
        """The set that stands in a folder, or None. Raises CheckpointError for a damaged file."""
        path = folder / FILE_NAME
        if not path.is_file():
            return None
        steps = array("I")
        inflating = zlib.decompressobj()
        try:
            raw = inflating.decompress(path.read_bytes(), _MOST)
            steps.frombytes(raw)
        except (zlib.error, ValueError) as error:
            raise CheckpointError(f"{path}: the file is damaged: {error}") from error
        if not inflating.eof:
            raise CheckpointError(f"{path}: the file is cut short, or holds more than {_MOST // _HASH_BYTES:,} lines")
        return cls(accumulate(_little(steps)))


def _hash(line: str) -> int:
    return int.from_bytes(hashlib.sha256(line.encode()).digest()[:_HASH_BYTES], "big")


def _little(numbers: array[int]) -> array[int]:
    """The same numbers with the lowest byte first, or read so."""
    assert numbers.itemsize == _HASH_BYTES
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
