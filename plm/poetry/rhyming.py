"""Whether the lines of a poem rhyme: whether one class of a rhyme book holds their last characters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from plm.poetry.rhyme_books import RhymeBook
from plm.poetry.tones import Tone


@dataclass(frozen=True)
class Rhyme:
    """What lines have in common at their ends.

    rhyme_class: the class of all words, the commonest when several hold them all; None when they do not rhyme.
    words: line number to its last character.
    outside: the words that lie outside the class where most are, with all classes that they do have.
    """

    rhyme_class: str | None
    words: dict[int, str]
    outside: dict[int, tuple[str, ...]]


def common_classes(words: Iterable[str], book: RhymeBook, tone: Tone = "level") -> frozenset[str]:
    """The rhyme classes that hold every one of these characters with this tone; none when they do not rhyme."""
    every = [book.rhymes(word, tone) for word in words]
    return frozenset.intersection(*every) if every else frozenset()


def find_rhyme(lines: Sequence[str], numbers: Iterable[int], book: RhymeBook, tone: Tone = "level") -> Rhyme:
    """The rhyme of the lines with these numbers (from 1). It takes at least two lines to rhyme."""
    words = {number: lines[number - 1][-1] for number in numbers}
    if len(words) < 2:
        return Rhyme(None, words, {})
    shared = commonest(common_classes(words.values(), book, tone), book)
    nearest = shared or _majority(words.values(), book, tone)
    outside = {
        number: tuple(dict.fromkeys(reading.rhyme for reading in book.readings(word)))
        for number, word in words.items()
        if nearest not in book.rhymes(word, tone)
    }
    return Rhyme(shared, words, outside)


def commonest(classes: Iterable[str], book: RhymeBook) -> str | None:
    """The class that people use most among these; None when there are none."""
    return min(classes, key=lambda rhyme: (-book.level_classes.get(rhyme, 0.0), rhyme), default=None)


def _majority(words: Iterable[str], book: RhymeBook, tone: Tone) -> str | None:
    """The class that holds most of the words; None when no two of them share one."""
    counts = Counter(rhyme for word in words for rhyme in book.rhymes(word, tone))
    most = max(counts.values(), default=0)
    return commonest((rhyme for rhyme, count in counts.items() if count == most), book) if most > 1 else None
