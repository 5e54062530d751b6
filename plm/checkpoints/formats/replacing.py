"""Files that are written aside and put in place together: a crash leaves the old files or the new ones."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from plm.errors import CheckpointError


class Replacement:
    """The new files of one save, in a folder where old ones may lie.

    Nothing under a final name changes before all new files are whole on disk. The file opened last is the one that
    readers start from (an index): the old one leaves first and the new one arrives last, so that even a machine
    that stops half way never shows old and new parts as one checkpoint.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._asides: dict[str, Path] = {}

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """A new file to write that will be called `name`; on disk for good when the block ends."""
        aside = self._asides[name] = self._hidden(name)
        with aside.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())

    def adopt(self, file: Path) -> None:
        """Take a file that was written whole, on the same disk, as the new one of its name."""
        aside = self._asides[file.name] = self._hidden(file.name)
        file.replace(aside)

    def commit(self, *, stale: Iterable[str] = ()) -> list[Path]:
        """Put all new files in place and return them in the order in which they were opened.

        stale: patterns (as for Path.glob) of files that an earlier save left and that would be read with the new ones
            or before them; deleted at the very end.
        """
        targets = [self.folder / name for name in self._asides]
        self._put_in_place(targets)
        self._asides.clear()
        for pattern in stale:
            for path in self.folder.glob(pattern):
                if path not in targets:
                    path.unlink()
        return targets

    def discard(self) -> None:
        """Delete what was written aside."""
        for aside in self._asides.values():
            aside.unlink(missing_ok=True)

    def _put_in_place(self, targets: list[Path]) -> None:
        """Rename: old ones out, new ones in, undone when interrupted. A single file is replaced in one stroke."""
        moved: list[tuple[Path, Path]] = []
        try:
            for target in reversed(targets):
                if target.exists() and len(targets) > 1:
                    moved.append((target, self._hidden(target.name)))
                    target.replace(moved[-1][1])
            for target in targets:
                self._asides[target.name].replace(target)
        except BaseException:
            for target in targets:
                if not self._asides[target.name].exists():
                    target.unlink(missing_ok=True)
            for target, old in reversed(moved):
                if old.exists():
                    old.replace(target)
            raise
        for _, old in moved:
            old.unlink()

    def _hidden(self, name: str) -> Path:
        return self.folder / f".{name}.{secrets.token_hex(4)}"


@contextmanager
def replacing(folder: Path) -> Iterator[Replacement]:
    """A save into `folder` (made when missing): write with `open`, then `commit`.

    When the block fails before, everything written aside is deleted and the old files are as they were.
    Raises CheckpointError for what the file system refuses (no room, no permission).
    """
    new = Replacement(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield new
    except OSError as error:
        raise CheckpointError(f"{folder}: cannot be written: {error}; no file there is half written") from error
    finally:
        new.discard()
