"""Where the records of a TFRecord file begin and how many tokens they have, kept on disk: read through once, not at
every start.

An index is one file named by name, size and time of change of the TFRecord file; where one of them is another, so is
the index. It is written aside and renamed, so several processes may write it at the same time. It holds numbers and a
checksum of them.
"""

from __future__ import annotations

import hashlib
import logging
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from plm.data.cache import default_folder
from plm.errors import DataError
from plm.folders import written_aside

logger = logging.getLogger(__name__)

_FORMAT = b"plm record index 1\n"
_CHECKSUM = 4


class RecordIndex(NamedTuple):
    """offsets: (records + 1,), int64, where each begins and the last one ends. lengths: (records,), int64, tokens."""

    offsets: NDArray[np.int64]
    lengths: NDArray[np.int64]


def default_index_folder() -> Path:
    """Where they are kept if nobody says otherwise: plm/records in XDG_CACHE_HOME or ~/.cache."""
    return default_folder().with_name("records")


def kept_index(path: Path, build: Callable[[Path], RecordIndex], *, folder: Path | None) -> RecordIndex:
    """The index of a file, from the folder or, if that has none, from `build`, for the folder. None = keep nothing.

    A damaged one, or a folder that cannot be written, costs a line in the log and the time of building.
    Raises DataError for a file that cannot be read, and whatever `build` raises.
    """
    if folder is None:
        return build(path)
    place = folder / f"{_name(path)}.index"
    index = _load(place)
    if index is None:
        index = build(path)
        try:
            _write(place, index)
        except OSError as error:
            logger.warning("%s: the index of %s cannot be kept (%s)", folder, path, error)
    return index


def _name(path: Path) -> str:
    try:
        facts = path.stat()
        told = f"{path.resolve()} {facts.st_size} {facts.st_mtime_ns}"
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    return hashlib.sha256(told.encode(errors="surrogateescape")).hexdigest()[:40]


def _load(place: Path) -> RecordIndex | None:
    """None = there is none, or a damaged one."""
    try:
        raw = place.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        logger.warning("%s: the index cannot be read (%s) and is built anew", place, error)
        return None
    content = raw[len(_FORMAT) : -_CHECKSUM]
    if raw != _FORMAT + content + _checksum(content) or len(content) % 16 != 8:
        logger.warning("%s: the index is damaged and is built anew", place)
        return None
    numbers = np.frombuffer(content, dtype="<i8").astype(np.int64)
    offsets, lengths = np.split(numbers, [len(numbers) // 2 + 1])
    return RecordIndex(offsets, lengths)


def _write(place: Path, index: RecordIndex) -> None:
    content = np.concatenate(index).astype("<i8").tobytes()
    place.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(place) as aside:
        aside.write_bytes(_FORMAT + content + _checksum(content))


def _checksum(content: bytes) -> bytes:
    return zlib.crc32(content).to_bytes(_CHECKSUM, "little")
