"""What a block of text consists of, told from its bytes: alphabets, capitals, leftovers of markup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plm.corpus.survey.counts import HEAD_BYTES, Heads, Integers

NEWLINE = 0x0A

ALPHABETS: Mapping[str, Sequence[tuple[int, int]]] = {
    "Latin": [(0x41, 0x5A), (0x61, 0x7A), (0xC3, 0xCA)],
    "Greek": [(0xCD, 0xCF)],
    "Cyrillic": [(0xD0, 0xD4)],
    "Hebrew": [(0xD7, 0xD7)],
    "Arabic": [(0xD8, 0xDB)],
    "Indic and Thai": [(0xE0, 0xE0)],
    "Chinese and Japanese": [(0xE3, 0xE9), (0xF0, 0xF0)],
    "Korean": [(0xEA, 0xED)],
}
"""Name -> first bytes, in UTF-8, of its letters, as ranges with both ends.

Coarse but free, for bytes are counted anyway: Armenian counts as Cyrillic or Hebrew, emoji as Chinese, rare alphabets
as their neighbours.
"""


@dataclass(frozen=True)
class Mark:
    """Something that text for training should not hold. literals: how it shows. advice: the way out."""

    literals: tuple[str, ...]
    advice: str


MARKS: Mapping[str, Mark] = {
    "HTML tags": Mark(("</", "<br", "<p>", "<img "), "take the text out of the pages first"),
    "HTML entities such as &amp;": Mark(("&amp;", "&lt;", "&quot;", "&nbsp;", "&#"), "unescape them first"),
    "lines <doc ...> of WikiExtractor": Mark(
        ("<doc ",), "turn each </doc> into a blank line, or extract with --json and read the layout jsonl"
    ),
    "wiki markup such as [[...]]": Mark(("[[", "{{"), "take the text out with a tool such as WikiExtractor"),
    "words that were replaced by <unk>": Mark(
        ("<unk>",), "it becomes three tokens, not the unknown one; take the raw edition of the text (of WikiText too)"
    ),
    "WikiText's @-@ for hyphens": Mark(("@-@", "@,@", "@.@"), "take the raw edition of the text, or undo them"),
    "broken characters": Mark(("\ufffd", "â€", "Ã©"), "the text was decoded wrongly once: convert it to UTF-8 anew"),
}
"""Name -> what to look for. Counted are the literals, and a pair of tags by its end."""

CONTROL = "control characters"
"""Counted beside MARKS: U+0000 to U+001F but tab, line feed and carriage return, and U+007F."""

_MARK_BYTES = {name: [literal.encode() for literal in mark.literals] for name, mark in MARKS.items()}

_CONTROL_BYTES = [*(byte for byte in range(32) if byte not in (0x09, 0x0A, 0x0D)), 0x7F]


@dataclass(frozen=True, eq=False)
class Lines:
    """Sentences as bytes.

    padded: all of them in UTF-8, with a line feed after each, and HEAD_BYTES zeros. starts, sizes: (sentences,) bytes.
    """

    padded: NDArray[np.uint8]
    starts: Integers
    sizes: Integers

    @classmethod
    def of(cls, sentences: Sequence[str]) -> Lines:
        """A line feed inside a sentence counts as a space; half of a surrogate pair, which JSON may hold, passes."""
        padded = _padded(sentences)
        ends = np.flatnonzero(padded == NEWLINE)
        if len(ends) != len(sentences):
            padded = _padded([sentence.replace("\n", " ") for sentence in sentences])
            ends = np.flatnonzero(padded == NEWLINE)
        starts = np.concatenate([np.zeros(1, dtype=np.int64), ends + 1])[:-1]
        return cls(padded, starts, ends - starts)

    def byte_counts(self) -> Integers:
        """(256,), how often each byte comes, without the line feeds between sentences."""
        counts = np.bincount(self.padded[:-HEAD_BYTES], minlength=256)
        counts[NEWLINE] = 0
        return counts

    def heads(self) -> Heads:
        """(sentences, HEAD_BYTES), the first bytes of each sentence, filled with 0."""
        heads = np.lib.stride_tricks.sliding_window_view(self.padded, HEAD_BYTES)[self.starts]
        heads[np.arange(HEAD_BYTES) >= self.sizes[:, None]] = 0
        return heads

    def small_starts(self) -> int:
        """Sentences that begin with a letter from a to z."""
        first = self.padded[self.starts]
        return int(((first >= ord("a")) & (first <= ord("z"))).sum())

    def marks(self, byte_counts: Integers) -> dict[str, int]:
        """Name -> how often, for those of MARKS and CONTROL that come at all."""
        found = self._starting_with({mark[0] for marks in _MARK_BYTES.values() for mark in marks}, byte_counts)
        counted = {
            name: sum(self._count(mark, found[mark[0]]) for mark in marks if mark[0] in found)
            for name, marks in _MARK_BYTES.items()
        }
        counted[CONTROL] = int(byte_counts[_CONTROL_BYTES].sum())
        return {name: number for name, number in counted.items() if number}

    def _starting_with(self, wanted: set[int], byte_counts: Integers) -> dict[int, Integers]:
        """Byte -> its places, for the wanted ones that come at all."""
        return {byte: np.flatnonzero(self.padded == byte) for byte in wanted if byte_counts[byte]}

    def _count(self, mark: bytes, places: Integers) -> int:
        """How many of the places of its first byte begin a mark."""
        for offset, byte in enumerate(mark[1:], start=1):
            places = places[self.padded[places + offset] == byte]
        return len(places)


def letters(byte_counts: Integers) -> dict[str, int]:
    """Letters by alphabet, for those that come at all, the most frequent alphabet first."""
    counted = {
        name: sum(int(byte_counts[first : last + 1].sum()) for first, last in ranges)
        for name, ranges in ALPHABETS.items()
    }
    return {name: number for name, number in sorted(counted.items(), key=lambda item: -item[1]) if number}


def capitals(byte_counts: Integers) -> tuple[int, int]:
    """Letters from A to Z, and from a to z."""
    upper, lower = (int(byte_counts[ord(first) : ord(last) + 1].sum()) for first, last in ("AZ", "az"))
    return upper, lower


def characters(byte_counts: Integers) -> int:
    """Code points: bytes that do not continue one."""
    return int(byte_counts.sum() - byte_counts[0x80:0xC0].sum())


def _padded(sentences: Sequence[str]) -> NDArray[np.uint8]:
    text = "\n".join([*sentences, "\0" * HEAD_BYTES])
    return np.frombuffer(text.encode("utf-8", "surrogatepass"), dtype=np.uint8)
