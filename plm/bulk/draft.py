"""An output that is being written: finished parts in a folder beside it, which stay until the output is whole.

`answers.jsonl.partial/` holds origin.json, which says what the answers depend on, and for every part two files, first
its data, then a note. A part counts when its note is there; both get their names when they are whole.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from plm.bulk.work import Part, PartNote
from plm.config import from_dict, read_json, to_dict, write_json, write_text
from plm.errors import DataError
from plm.folders import sync, written_aside

logger = logging.getLogger(__name__)

_ORIGIN = "origin.json"


class Draft:
    """The parts of an output; a context that leaves no folder where there are no parts.

    origin: what the answers depend on, rows apart, as JSON values. overwrite: True = parts of something else go.
    notes: of the parts that are there, by number.
    Raises DataError for parts of something else that must stay.
    """

    def __init__(self, output: Path, *, origin: Mapping[str, Any], overwrite: bool) -> None:
        self.output = output
        self.folder = output.with_name(f"{output.name}.partial")
        origin = json.loads(json.dumps(origin))
        with self._writing():
            self.notes = self._found(origin, overwrite=overwrite)
            self.folder.mkdir(exist_ok=True)
            write_json(self.folder / _ORIGIN, origin)
        if self.notes:
            logger.info("%s: going on after %d rows", output, sum(note.rows for note in self.notes.values()))

    def __enter__(self) -> Draft:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.notes:
            shutil.rmtree(self.folder, ignore_errors=True)

    def add(self, part: Part) -> None:
        """Have a part on the disk."""
        with self._writing():
            with written_aside(self._data(part.number)) as aside:
                aside.write_bytes(part.data)
            write_json(self._note(part.number), to_dict(part.note))
        self.notes[part.number] = part.note

    def drop(self, number: int) -> None:
        """Forget a part."""
        del self.notes[number]
        self._note(number).unlink()

    def finish(self, join: Callable[[Iterable[Path], Path], None], *, listed: Path, lines: Sequence[str]) -> None:
        """Write the output, and what was refused; then the parts go.

        listed: the file for the lines that tell what was refused; without any there is none.
        """
        with self._writing():
            if lines:
                write_text(listed, "".join(lines))
            else:
                listed.unlink(missing_ok=True)
            with written_aside(self.output) as aside:
                join([self._data(number) for number in sorted(self.notes)], aside)
            sync(self.output.parent)
            shutil.rmtree(self.folder)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DataError(
                f"{self.output}: cannot be written ({error.strerror or error}); once it can, the same call goes on "
                f"from the parts in {self.folder.name}"
            ) from error

    def _found(self, origin: Mapping[str, Any], *, overwrite: bool) -> dict[int, PartNote]:
        """Notes of the parts that are there, by number."""
        if not self.folder.exists():
            return {}
        found = sorted(self.folder.iterdir())
        if found and self.folder / _ORIGIN not in found:
            raise DataError(f"{self.folder}: holds something else than parts of an output; move it away")
        notes = {int(path.stem): path for path in found if path.suffix == ".json" and path.stem.isdecimal()}
        changed = _differences(read_json(self.folder / _ORIGIN), origin) if notes else []
        if changed and not overwrite:
            raise DataError(
                f"{self.folder}: was begun with another {', '.join(changed)}; ask for the same again to go on, or pass "
                "overwrite=True (--overwrite) to begin anew"
            )
        if changed or not notes:
            shutil.rmtree(self.folder)
            return {}
        for path in found:
            if path.name.startswith("."):
                path.unlink()  # was being written when the process was killed
        return {number: _read_note(path) for number, path in notes.items()}

    def _data(self, number: int) -> Path:
        return self.folder / f"{number:08d}.part"

    def _note(self, number: int) -> Path:
        return self.folder / f"{number:08d}.json"


def _differences(begun: Mapping[str, Any], origin: Mapping[str, Any]) -> list[str]:
    return sorted(name for name in {*origin, *begun} if origin.get(name) != begun.get(name))


def _read_note(path: Path) -> PartNote:
    values = read_json(path)
    values["refused"] = [tuple(pair) for pair in values["refused"]]
    return from_dict(PartNote, values, source=str(path))
