"""Rhyme books: which tone a character has, and which characters rhyme.

A rhyme book lists the characters of the language by rhyme class. Verse of the Tang rhymes by the pronunciation of its
day, kept in the 平水韵 (printed 1252: 106 classes, 30 of them level). Modern verse may rhyme by today's Mandarin:
中华新韵 (2005: 14 classes, each with level and oblique characters). Songs, 词, use 词林正韵 (1821: 19 classes). A
character that is said in several ways stands in several classes; whatever fits one of them is allowed.

Mandarin is no guide to Tang tones: the old fourth tone, always oblique, has dissolved, and one running character in
twenty of Tang verse that was oblique is level today.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from plm.errors import UnknownNameError, did_you_mean
from plm.poetry.script import counterparts
from plm.poetry.tables import read_object, read_rows
from plm.poetry.tones import UNKNOWN, Tone, Want


@dataclass(frozen=True)
class Reading:
    """One way to say a character: its tone, its rhyme class ("七阳") and the part of the book ("下平声")."""

    tone: Tone
    rhyme: str
    section: str


class RhymeBook:
    """Readings of characters, simplified or traditional. `RhymeBook.named("pingshui")` gives the books of the package.

    name, title: as in "pingshui", "平水韵".
    readings: character to its readings; variants included. Traditional characters need not be there: one that is not
        takes the readings of all its simplified counterparts.
    shares: level rhyme class to its share among human poems, for choosing a rhyme as people do; sums to 1.
    neighbours: groups of classes that sound nearly alike; the first line of a poem may borrow from a neighbour.
    """

    def __init__(
        self,
        name: str,
        *,
        title: str,
        readings: Mapping[str, tuple[Reading, ...]],
        shares: Mapping[str, float],
        neighbours: Iterable[frozenset[str]] = (),
    ) -> None:
        self.name = name
        self.title = title
        self.level_classes = dict(shares)
        self._readings = dict(readings)
        self._neighbours = tuple(neighbours)
        self._tones: dict[str, frozenset[Tone]] = {}
        self._rhymes: dict[tuple[str, Tone], frozenset[str]] = {}

    @staticmethod
    def named(name: str) -> RhymeBook:
        """A book of the package: "pingshui" (平水韵), "xinyun" (中华新韵) or "cilin" (词林正韵).

        It is read on first use, once. Raises UnknownNameError listing the names.
        """
        known = {
            alias: key for key, book in read_books().items() for alias in (key, str(book["title"]), *book["aliases"])
        }
        if name not in known:
            hint = did_you_mean(name, known)
            raise UnknownNameError(f"unknown rhyme book {name!r}{hint} (known: {', '.join(known)})")
        return _book(known[name])

    def readings(self, character: str) -> tuple[Reading, ...]:
        """All readings of one character; () when the book does not know it."""
        found = self._readings.get(character)
        if found is None:
            simplified = counterparts(character, "simplified")
            every = (reading for one in simplified for reading in self._readings.get(one, ()))
            found = self._readings[character] = tuple(dict.fromkeys(every))
        return found

    def tones(self, character: str) -> frozenset[Tone]:
        """The tones of one character: one, both, or none when it is unknown."""
        found = self._tones.get(character)
        if found is None:
            found = self._tones[character] = frozenset(reading.tone for reading in self.readings(character)) or UNKNOWN
        return found

    def rhymes(self, character: str, tone: Tone = "level") -> frozenset[str]:
        """The rhyme classes in which the character has this tone."""
        found = self._rhymes.get((character, tone))
        if found is None:
            classes = frozenset(reading.rhyme for reading in self.readings(character) if reading.tone == tone)
            found = self._rhymes[character, tone] = classes
        return found

    def allows(self, character: str, want: Want, rhyme: str | None = None) -> bool:
        """True when the character may stand where a tone, and at a rhyming place a class, is wanted.

        A character may take any of its readings, the same one for tone and rhyme. An unknown one stands only where any
        tone will do and nothing rhymes. Cheap: the mask of a vocabulary of 20,000 takes some milliseconds.
        """
        if rhyme is None:
            return want == "any" or want in self.tones(character)
        return any(reading.rhyme == rhyme and want in ("any", reading.tone) for reading in self.readings(character))

    def are_neighbours(self, one: str, other: str) -> bool:
        """True when two classes sound nearly alike, so that a first line may borrow one for the other."""
        return any({one, other} <= group for group in self._neighbours)

    def __contains__(self, character: object) -> bool:
        return isinstance(character, str) and bool(self.readings(character))

    def __repr__(self) -> str:
        return f"RhymeBook({self.name!r})"


@cache
def read_books() -> dict[str, dict[str, Any]]:
    """What the package says about each of its books, by name."""
    return read_object("books.json")


@cache
def _book(name: str) -> RhymeBook:
    about = read_books()[name]
    return RhymeBook(
        name,
        title=about["title"],
        readings=with_variants(read_readings(about["tables"])),
        shares=about["shares"],
        neighbours=[frozenset(group.split()) for group in about["neighbours"]],
    )


def read_readings(tables: Iterable[str]) -> dict[str, tuple[Reading, ...]]:
    """The readings in tables with the columns section, rhyme class, characters."""
    found: dict[str, dict[Reading, None]] = {}  # a dictionary as an ordered set
    for section, rhyme, characters in (row for table in tables for row in read_rows(table)):
        reading = Reading("level" if "平" in section else "oblique", rhyme, section)
        for character in characters:
            found.setdefault(character, {})[reading] = None
    return {character: tuple(readings) for character, readings in found.items()}


def with_variants(readings: Mapping[str, tuple[Reading, ...]]) -> dict[str, tuple[Reading, ...]]:
    """The readings, and other ways to write a character with those of the usual one, where they have none."""
    added = {
        variant: readings[usual]
        for usual, variants in read_rows("variants.tsv")
        if usual in readings
        for variant in variants
    }
    return {**added, **readings}
