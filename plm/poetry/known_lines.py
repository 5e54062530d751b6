"""The lines of the poems that a model learned from, so that it can tell what it only remembers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from plm.errors import CheckpointError

FILE_NAME = "known_lines.bin"

# Bytes of the hash of a line. Of a million lines, one in a million others is taken for one of them.
_SIZE = 5


class KnownLines:
    """A set of lines, by their hashes: five bytes a line."""

    def __init__(self, hashes: Iterable[bytes]) -> None:
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
        return b"".join(sorted(self._hashes))

    @classmethod
    def load(cls, folder: Path) -> KnownLines | None:
        """The set that stands in a folder, or None. Raises CheckpointError for a file that is cut short."""
        path = folder / FILE_NAME
        if not path.is_file():
            return None
        raw = path.read_bytes()
        if len(raw) % _SIZE:
            raise CheckpointError(f"{path}: {len(raw)} bytes are no multiple of {_SIZE}: the file is damaged")
        return cls(raw[start : start + _SIZE] for start in range(0, len(raw), _SIZE))


def _hash(line: str) -> bytes:
    return hashlib.sha256(line.encode()).digest()[:_SIZE]
