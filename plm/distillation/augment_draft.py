"""A table that is being augmented: a file that grows, and a journal that says how much of it counts.

They lie beside the target, as `target.partial` and `target.partial.json`, until the target is whole.
"""

from __future__ import annotations

import gzip
import json
import logging
import lzma
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from plm.config import from_dict, read_json, write_text
from plm.errors import ConfigError, DataError
from plm.folders import sync, written_aside

logger = logging.getLogger(__name__)

COMMIT_EVERY = 30.0
"""Seconds of work after which it is noted how far it has come."""

# Suffix of packed files -> what packs them; without time stamps, so that equal content makes equal files.
_PACKED: Mapping[str, Callable[[IO[bytes]], Any]] = {
    ".gz": partial(gzip.GzipFile, "", "wb", 6, mtime=0),
    ".xz": partial(lzma.LZMAFile, mode="wb"),
}


@dataclass
class Progress:
    """rows: of the source that are done. size: bytes of the file that count. added: rows more, by text and pair.

    memory: what the augmenter remembers.
    """

    rows: int = 0
    size: int = 0
    added: dict[str, int] = field(default_factory=dict)
    memory: dict[str, Any] = field(default_factory=dict)


class Draft:
    """The unfinished target; a context that keeps what was noted when it is left early, if there is any.

    origin: everything that the target depends on, as JSON values. Raises DataError where it was begun with another one.
    """

    def __init__(self, target: Path, *, origin: Mapping[str, Any]) -> None:
        self.target, self._origin = target, json.loads(json.dumps(origin))
        self._path = target.with_name(f"{target.name}.partial")
        self._journal = target.with_name(f"{target.name}.partial.json")
        target.parent.mkdir(parents=True, exist_ok=True)
        self.progress = self._noted()
        self._path.touch()
        self._file = self._path.open("r+b")
        self._file.truncate(self.progress.size)
        self._file.seek(self.progress.size)
        self._committed = time.monotonic()

    def __enter__(self) -> Draft:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if not self._journal.exists():
            self._path.unlink(missing_ok=True)  # nothing in it was worth a note

    def write(self, lines: Iterable[str]) -> None:
        """Some lines more, with their ends."""
        # What UTF-8 cannot say, halves of surrogate pairs, comes from JSON's \\u escapes and becomes one again.
        self._file.writelines(line.encode("utf-8", "backslashreplace") for line in lines)

    def done(self, rows: int, memory: Callable[[], dict[str, Any]]) -> None:
        """Some rows more are written. Once in a while that is noted, with what the augmenter remembers by then."""
        self.progress.rows += rows
        if time.monotonic() - self._committed > COMMIT_EVERY:
            self._commit(memory())

    def finish(self) -> None:
        """Give the target its content, packed if its name says so."""
        self._commit({})
        self._file.close()
        if (pack := _PACKED.get(self.target.suffix.lower())) is None:
            self._path.replace(self.target)
        else:
            with (
                written_aside(self.target) as aside,
                self._path.open("rb") as whole,
                aside.open("wb") as file,
                pack(file) as packed,
            ):
                shutil.copyfileobj(whole, packed)
            self._path.unlink()
        self._journal.unlink()

    def _commit(self, memory: dict[str, Any]) -> None:
        """Have everything on the disk, then the journal that says so."""
        self._file.flush()
        sync(self._path)
        self.progress.size, self.progress.memory = self._file.tell(), memory
        # In ASCII, as texts may hold what UTF-8 cannot say.
        write_text(self._journal, json.dumps({"origin": self._origin, "progress": asdict(self.progress)}))
        self._committed = time.monotonic()

    def _noted(self) -> Progress:
        if not self._journal.exists():
            return Progress()
        try:
            begun = read_json(self._journal)
            progress = from_dict(Progress, begun["progress"], source=str(self._journal))
            is_whole = self._path.stat().st_size >= progress.size
        except (ConfigError, KeyError, OSError):
            is_whole = False
        if not is_whole:
            logger.warning("%s: is damaged; augmentation begins anew", self._journal)
            self._journal.unlink()
            return Progress()
        if changed := sorted(name for name in self._origin if self._origin[name] != begun["origin"].get(name)):
            raise DataError(
                f"{self._path}: was begun with another {', '.join(changed)}; delete it to begin anew, or ask for the "
                "same again to go on"
            )
        logger.info("%s: going on after %d rows", self._path, progress.rows)
        return progress
