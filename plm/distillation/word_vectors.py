"""Word vectors in text files, as GloVe and word2vec write them, and the nearest neighbours of words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from plm.data.tables import read_lines
from plm.errors import ConfigError, DataError

Matrix = NDArray[np.float32]

# Similarities held at a time, float32: 64 MiB.
_SIMILARITIES = 2**24


@dataclass(frozen=True)
class WordVectors:
    """Words and their directions.

    words: each once, most frequent first where the file has them so.
    matrix: (words, size), float32, rows of length 1; a row of zeros stays one, and is nobody's neighbour.
    repeated: lines of the file that were left out, because their word had stood there before.
    """

    words: tuple[str, ...]
    matrix: Matrix
    repeated: int = 0
    _rows: dict[str, int] = field(init=False, repr=False, compare=False)
    _has_direction: NDArray[np.bool_] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Raises DataError when words stand twice or their number is not that of the rows."""
        rows = {word: row for row, word in enumerate(self.words)}
        if self.matrix.ndim != 2 or not len(rows) == len(self.words) == len(self.matrix):
            raise DataError(
                f"expected a row for each of {len(self.words)} different words, got {len(rows)} different words and a "
                f"matrix of shape {self.matrix.shape}"
            )
        norms = np.sqrt(np.einsum("ij,ij->i", self.matrix, self.matrix, dtype=np.float64))[:, None]
        unit = np.divide(self.matrix, norms, out=np.zeros_like(self.matrix), where=norms > 0, casting="same_kind")
        object.__setattr__(self, "matrix", unit)
        object.__setattr__(self, "_rows", rows)
        object.__setattr__(self, "_has_direction", unit.any(axis=1))

    @classmethod
    def read(cls, path: Path | str, *, limit: int | None = 100_000) -> WordVectors:
        """Read a text file, which may be packed (.gz, .xz): on each line a word and its numbers, blanks between.

        A first line of two numbers, words and size, as word2vec writes it, is passed over. A word may hold blanks.
        limit: words to read at most; None = all. TinyBERT reads as many as the default says.
        Raises DataError with file and line for damage: too few or too many numbers, something else in their place, NaN,
        fewer lines than the first one says, no lines at all.
        """
        if limit is not None and limit < 1:
            raise ConfigError(f"limit: expected a positive number of words, or None for all, got {limit}")
        rows: dict[str, Matrix] = {}
        lines = 0
        with tqdm(desc="word vectors", unit="word", disable=None, delay=2, leave=False) as bar:
            for word, numbers in _vectors(Path(path)):
                lines += 1
                rows.setdefault(word, numbers)
                bar.update()
                if len(rows) == limit:
                    break
        if not rows:
            raise DataError(f"{path}: holds no word vectors")
        return cls(tuple(rows), np.stack(list(rows.values())), repeated=lines - len(rows))

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: object) -> bool:
        return isinstance(word, str) and self._row(word) is not None

    def nearest(self, words: Sequence[str], count: int) -> list[list[str]]:
        """For each word its `count` nearest neighbours by cosine, best first, without itself; fewer if there are fewer.

        A word is looked up as it is written, then in lower case. None are near a word that is not there, or that has no
        direction.
        """
        found = [self._row(word) for word in words]
        known = [row for row in dict.fromkeys(found) if row is not None and self._has_direction[row]]
        at_a_time = max(1, _SIMILARITIES // len(self.words))
        near: dict[int, list[str]] = {}
        for start in range(0, len(known), at_a_time):
            chunk = known[start : start + at_a_time]
            near |= zip(chunk, self._nearest(np.array(chunk), count), strict=True)
        return [[] if row is None else near.get(row, []) for row in found]

    def _nearest(self, rows: NDArray[np.int64], count: int) -> Iterator[list[str]]:
        similarities = self.matrix[rows] @ self.matrix.T
        similarities[:, ~self._has_direction] = -np.inf
        similarities[np.arange(len(rows)), rows] = -np.inf
        count = min(count, len(self.words) - 1)
        best = np.argpartition(-similarities, count, axis=1)[:, :count] if count else np.zeros((len(rows), 0), np.int64)
        for row, places in zip(similarities, best, strict=True):
            order = places[np.lexsort((places, -row[places]))]
            yield [self.words[place] for place in order if row[place] > -np.inf]

    def _row(self, word: str) -> int | None:
        row = self._rows.get(word)
        return self._rows.get(word.lower()) if row is None else row


def _vectors(path: Path) -> Iterator[tuple[str, Matrix]]:
    """Words and numbers, line by line."""
    # Only blanks part words and numbers: some of GloVe's words hold other white space.
    fields = ((number, line.rstrip(" ").split(" ")) for number, line in read_lines(path))
    first = list(islice(fields, 1))
    declared = _header(first[0][1]) if first else None
    size = declared[1] if declared else len(first[0][1]) - 1 if first else 0
    read = 0
    for number, parts in chain([] if declared else first, fields):
        yield _vector(parts, size, f"{path}, line {number}")
        read += 1
    if declared and read < declared[0]:
        raise DataError(f"{path}: cut off: line 1 says {declared[0]} words, there are {read}")


def _header(parts: list[str]) -> tuple[int, int] | None:
    """The numbers of words and of their dimensions, if a line holds these."""
    return (int(parts[0]), int(parts[1])) if len(parts) == 2 and all(part.isdecimal() for part in parts) else None


def _vector(parts: list[str], size: int, where: str) -> tuple[str, Matrix]:
    word, numbers = " ".join(parts[: len(parts) - size]), parts[len(parts) - size :]
    if size < 1 or len(parts) <= size or not word:
        raise DataError(f"{where}: expected a word and {max(size, 1)} numbers, got {len(parts)} parts: {parts!r:.60}")
    if len(parts) > size + 1 and _is_number(parts[len(parts) - size - 1]):
        raise DataError(f"{where}: expected {size} numbers, as in the first line, got more")
    try:
        row = np.array([float(number) for number in numbers])
    except ValueError as error:
        raise DataError(f"{where}: expected {size} numbers behind {word!r:.40}: {error}") from error
    if not (np.abs(row) <= np.finfo(np.float32).max).all():
        raise DataError(f"{where}: the vector of {word!r:.40} holds numbers that are not finite in float32")
    return word, row.astype(np.float32)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
