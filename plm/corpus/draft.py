"""A corpus that is being written: files that grow, and a journal that says how much of them counts."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from plm.config import from_dict, read_json, write_json
from plm.corpus.store import DOCUMENTS, SENTENCES, TOKENS, TYPES, WORD_STARTS, Numbers, token_type
from plm.errors import ConfigError, DataError
from plm.folders import sync

JOURNAL = "journal.json"

# Sentence lengths and word starts while nobody knows how large they get, or where bytes of bits end.
_LENGTHS, _STARTS = "sentences.draft", "word_starts.draft"

# Numbers that are converted at a time; a multiple of 8.
_AT_A_TIME = 1 << 22


@dataclass
class Progress:
    """How much of the text is in the files.

    documents, sentences, tokens: written, those of an unfinished document included.
    document: first sentence and first token of the document that goes on. longest: tokens of the longest sentence.
    file, offset: where the rest of the text begins. disk_bytes: read so far, as files lie on the disk. survey: what is
        known of the text so far. text: a digest of it.
    """

    documents: int = 0
    sentences: int = 0
    tokens: int = 0
    document: tuple[int, int] = (0, 0)
    longest: int = 0
    file: int = 0
    offset: int = 0
    disk_bytes: int = 0
    text: str = ""
    survey: dict[str, Any] = field(default_factory=dict)


class Draft:
    """The files of an unfinished corpus in a folder; a context that closes them.

    origin: text and options, as JSON values; the journal of other ones is refused.
    vocabulary: ids. with_words: True = word starts are written too.
    Raises DataError where the folder holds a draft of something else, or a damaged one.
    """

    def __init__(self, folder: Path, *, origin: Mapping[str, Any], vocabulary: int, with_words: bool) -> None:
        self.folder, self.origin = folder, json.loads(json.dumps(origin))
        self.token_type = token_type(vocabulary)
        self.with_words = with_words
        folder.mkdir(parents=True, exist_ok=True)
        self.progress = self._read_journal()
        self._closing = ExitStack()
        self._files = {name: self._opened(name, size) for name, size in self._sizes().items()}

    def __enter__(self) -> Draft:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.close()

    def add(self, ids: Numbers, lengths: Numbers, ends: NDArray[np.int64], starts: NDArray[np.bool_] | None) -> None:
        """Some sentences more.

        ids: of all of them. lengths: (sentences,), at least 1 each. ends: how many of them are there when a document
        ends, never falling. starts: (ids,), True = a word starts here.
        """
        was = self.progress
        places = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        closed = np.stack([was.sentences + ends, was.tokens + places[ends]], axis=1)
        closed = closed[np.diff(closed[:, 0], prepend=was.document[0]) > 0]  # no document is empty
        begun = np.concatenate([np.array([was.document], dtype=np.int64), closed])
        self._write(TOKENS, ids.astype(self.token_type))
        self._write(_LENGTHS, lengths.astype(TYPES["uint32"]))
        self._write(DOCUMENTS, begun[:-1].astype(TYPES["int64"]))
        if starts is not None:
            self._write(_STARTS, starts.astype(np.uint8))
        was.documents += len(closed)
        was.sentences += len(lengths)
        was.tokens += len(ids)
        was.document = (int(begun[-1, 0]), int(begun[-1, 1]))
        was.longest = max(was.longest, int(lengths.max(initial=0)))

    def commit(self, survey: dict[str, Any] | None = None) -> None:
        """Have everything on the disk, then the journal that says so. survey: what is known of the text so far."""
        self.progress.survey = survey or {}
        for name, file in self._files.items():
            file.flush()
            sync(self.folder / name)
        write_json(self.folder / JOURNAL, {"origin": self.origin, "progress": asdict(self.progress)})

    def finish(self) -> dict[str, str]:
        """Bring the files into their last form; returns the type of the numbers in each, by name.

        Whoever is killed here can do it again: nothing that `commit` vouched for is changed.
        """
        was = self.progress
        self._write(DOCUMENTS, np.array([was.sentences, was.tokens], dtype=TYPES["int64"]))
        self._closing.close()
        narrow = "uint16" if was.longest < 1 << 16 else "uint32"
        self._convert(_LENGTHS, SENTENCES, lambda lengths: lengths.astype(TYPES[narrow]))
        types = {SENTENCES: narrow, DOCUMENTS: "int64", TOKENS: "uint16" if self.token_type.itemsize == 2 else "uint32"}
        if self.with_words:
            self._convert(_STARTS, WORD_STARTS, np.packbits)
            types[WORD_STARTS] = "bits"
        return types

    def _sizes(self) -> dict[str, int]:
        """Bytes of every file that count."""
        was = self.progress
        sizes = {TOKENS: was.tokens * self.token_type.itemsize, _LENGTHS: 4 * was.sentences}
        sizes[DOCUMENTS] = 16 * was.documents
        return sizes | ({_STARTS: was.tokens} if self.with_words else {})

    def _read_journal(self) -> Progress:
        path = self.folder / JOURNAL
        if not path.exists():
            return Progress()
        try:
            journal = read_json(path)
            progress = from_dict(Progress, journal["progress"], source=str(path))
        except (KeyError, ConfigError) as error:
            raise DataError(f"{path}: is damaged ({error}); delete {self.folder} and begin anew") from error
        if changed := sorted(
            name for name in self.origin | journal["origin"] if self.origin.get(name) != journal["origin"].get(name)
        ):
            raise DataError(
                f"{self.folder}: holds what was begun with another {', '.join(changed)}; delete it to begin anew, or "
                "ask for the same again to go on"
            )
        return progress

    def _opened(self, name: str, size: int) -> IO[bytes]:
        """A file cut to the bytes that count, ready for more."""
        path = self.folder / name
        path.touch()
        if path.stat().st_size < size:
            raise DataError(f"{path}: has lost what was written; delete {self.folder} and begin anew")
        file = self._closing.enter_context(path.open("r+b"))
        file.truncate(size)
        file.seek(size)
        return file

    def _write(self, name: str, numbers: Numbers) -> None:
        self._files[name].write(np.ascontiguousarray(numbers).data)

    def _convert(self, source: str, target: str, convert: Callable[[Numbers], Numbers]) -> None:
        """Another form of the numbers in a file, so many at a time that bytes of bits come out whole."""
        kind = TYPES["uint32"] if source == _LENGTHS else np.dtype(np.uint8)
        with (self.folder / source).open("rb") as numbers, (self.folder / target).open("wb") as converted:
            while some := numbers.read(_AT_A_TIME * kind.itemsize):
                converted.write(np.ascontiguousarray(convert(np.frombuffer(some, dtype=kind))).data)


def clear_draft(folder: Path) -> None:
    """Remove from a finished corpus what only the work needed."""
    for name in (_LENGTHS, _STARTS, JOURNAL):
        (folder / name).unlink(missing_ok=True)
