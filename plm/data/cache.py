"""Features kept on disk, so that the same file is encoded once; read mapped, so that they take no memory of their own.

    key = fingerprint(files=["train.tsv"], tokenizer=tokenizer, options={"task": to_dict(task), "max_length": 128})
    features = cached(Feature, lambda: task.encode(...), key=key, folder=default_folder())

A cache is one safetensors file named by its fingerprint: whatever features are made from changes the name, and no file
is ever changed. It is written aside and renamed, so that several processes may write it at the same time. It holds
numbers and bytes alone, and a checksum of them; nothing in it is executed.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar, overload

import numpy as np
import tokenizers
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

import plm
from plm.data.columns import Arrays, Column, column_of
from plm.errors import ConfigError, DataError
from plm.folders import written_aside
from plm.tokenizers import Tokenizer
from plm.tokenizers.identity import tokenizer_state

logger = logging.getLogger(__name__)

Feature = TypeVar("Feature")

_FORMAT = "plm features 1"
_ROOT = "feature"
_AT_A_TIME = 4096


class StoredFeatures(Sequence[Feature], Generic[Feature]):
    """Features of a cache file; each is made when it is asked for, and forgotten by whoever asked.

    arrays: as `column.pack` gives them. count: how many features they hold.
    """

    def __init__(self, column: Column, arrays: Arrays, count: int) -> None:
        self._arrays, self._count = arrays, count
        self._rows = column.unpack(arrays, _ROOT)

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, place: int) -> Feature: ...

    @overload
    def __getitem__(self, place: slice) -> list[Feature]: ...

    def __getitem__(self, place: int | slice) -> Feature | list[Feature]:
        if isinstance(place, slice):
            start, stop, step = place.indices(self._count)
            return self._rows(start, max(start, stop)) if step == 1 else [self[i] for i in range(start, stop, step)]
        if not -self._count <= place < self._count:
            raise IndexError(f"feature {place} of {self._count}")
        place %= self._count
        feature: Feature = self._rows(place, place + 1)[0]
        return feature

    def __iter__(self) -> Iterator[Feature]:
        for start in range(0, self._count, _AT_A_TIME):
            yield from self._rows(start, min(start + _AT_A_TIME, self._count))

    def lengths(self, field: str) -> NDArray[np.int64]:
        """(features,), of a field that holds lists, without making a single feature.

        Raises ConfigError when no field of this name holds lists.
        """
        name = f"{_ROOT}.{field}.length"
        if name not in self._arrays or f"{_ROOT}.{field}.utf8" in self._arrays:
            raise ConfigError(f"{field!r} is no field of these features that holds a list each")
        return self._arrays[name].astype(np.int64)


def default_folder() -> Path:
    """Where caches are kept if nobody says otherwise: plm/features in XDG_CACHE_HOME or ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "plm" / "features"


def fingerprint(*, files: Sequence[Path | str], tokenizer: Tokenizer, options: Mapping[str, Any]) -> str:
    """64 hexadecimal digits that differ when features may: by a byte of a file, the tokenizer, an option, a version.

    files: the contents count, not the names; of a folder, all files in it. options: whatever else encoding depends on,
    as JSON values: the fields of the task, lengths, whether labels are included.
    """
    parts = {
        "versions": [plm.__version__, tokenizers.__version__],
        "files": [_digest(Path(path)) for path in files],
        "tokenizer": tokenizer_state(tokenizer),
        "options": options,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def cached(
    kind: type[Feature],
    build: Callable[[], Iterable[Feature]],
    *,
    key: str,
    folder: Path | str | None,
) -> Sequence[Feature]:
    """The features of a key, from the cache or, if it has none, from `build`, for the cache.

    kind: their dataclass; see plm.data.columns for what its fields may hold. build: may make them one by one: they are
    packed as they come. folder: None = keep nothing, which gives a plain list.
    A damaged cache, or a folder that cannot be written, costs a line in the log and the time of building.
    Raises DataError for a field that holds another type than its annotation says.
    """
    if folder is None:
        return list(build())
    column = column_of(kind)
    name = hashlib.sha256(f"{key} {column}".encode()).hexdigest()[:40]
    path = Path(folder) / f"{name}.safetensors"
    stored: StoredFeatures[Feature] | None = _load(column, path)
    if stored is not None:
        return stored
    arrays, count = _packed(column, build())
    try:
        _write(path, arrays, count)
    except OSError as error:
        logger.warning("%s: the features cannot be cached (%s); they stay in memory", folder, error)
    stored = _load(column, path)
    return StoredFeatures(column, arrays, count) if stored is None else stored


def _load(column: Column, path: Path) -> StoredFeatures[Any] | None:
    """The features of a file, or None when there is no such file, or a damaged one."""
    if not path.is_file():
        return None
    try:
        # The tensors of this framework, unlike those of numpy, are the mapped pages of the file.
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name).numpy() for name in file.keys()}  # noqa: SIM118 (no mapping)
        if metadata["format"] != _FORMAT or metadata["checksum"] != _checksum(arrays):
            raise DataError("its checksum is wrong")
        return StoredFeatures(column, arrays, int(metadata["count"]))
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError) as error:
        logger.warning("%s: the feature cache is damaged (%s) and is built anew", path, error)
        return None


def _packed(column: Column, features: Iterable[Any]) -> tuple[Arrays, int]:
    """All features as arrays, and their number; only a few of them are objects at any time."""
    parts: defaultdict[str, list[NDArray[Any]]] = defaultdict(list)
    for name, array in column.pack([], _ROOT).items():
        parts[name].append(array)
    rest, count = iter(features), 0
    while some := list(islice(rest, _AT_A_TIME)):
        count += len(some)
        for name, array in column.pack(some, _ROOT).items():
            parts[name].append(array)
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}, count


def _write(path: Path, arrays: Arrays, count: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"format": _FORMAT, "count": str(count), "checksum": _checksum(arrays)}
    with written_aside(path) as aside:
        try:
            save_file(dict(arrays), aside, metadata=metadata)
        except SafetensorError as error:  # a full disk, for example
            raise OSError(str(error)) from error


def _checksum(arrays: Arrays) -> str:
    """Of all names, types and bytes, by the order of the names."""
    checksum = 0
    for name, array in sorted(arrays.items()):
        checksum = zlib.crc32(f"{name} {array.dtype}".encode(), checksum)
        checksum = zlib.crc32(array.view(np.uint8).data, checksum)
    return f"{checksum:08x}"


def _digest(path: Path) -> str:
    """Of a file's bytes, or of the names and bytes of all files in a folder."""
    if path.is_dir():
        inside = sorted(entry for entry in path.rglob("*") if entry.is_file())
        listed = "".join(f"{entry.relative_to(path).as_posix()} {_digest(entry)}\n" for entry in inside)
        return hashlib.sha256(listed.encode()).hexdigest()
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
