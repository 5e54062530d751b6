"""What a check of a poem found, for programs and for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from plm.poetry.fitting import Note
from plm.poetry.tones import SIGNS, Want

Found = Literal["level", "oblique", "unknown"]

DERIVED = ("ok", "form_ok", "rhyme_ok", "repeated_rhyme_words", "repeated", "unknown")
"""What a report says besides its fields."""


@dataclass(frozen=True)
class ToneError:
    """A character with the wrong tone; line and position count from 1."""

    line: int
    position: int
    character: str
    expected: Want
    found: Found

    def __str__(self) -> str:
        found = "？" if self.found == "unknown" else SIGNS[self.found]
        return (
            f"line {self.line}, character {self.position}, {self.character}: expected {SIGNS[self.expected]} "
            f"{self.expected}, found {found} {self.found}"
        )


@dataclass(frozen=True)
class RhymeError:
    """A rhyming line whose last character lies outside the rhyme, and the classes in which it does lie."""

    line: int
    character: str
    classes: tuple[str, ...]

    def __str__(self) -> str:
        return f"line {self.line}, {self.character} does not rhyme (it is {', '.join(self.classes) or 'unknown'})"


@dataclass(frozen=True, kw_only=True)
class Report:
    """The verdict on a poem.

    lines: without punctuation; book: the name of the rhyme book; strict: as the check was asked.
    form, order: the form that was asked for or found, and its best fitting order; None when there is none.
    problem: why the lines have not the shape of the form; "" when they have.
    tones: what the characters are, one string of 平, 仄, 中 (said both ways) and ？ (unknown) for each line.
    template: what the order wants, likewise; () without an order.
    tone_errors: characters at judged places that cannot have the tone that is wanted.
    rhyme_class: the class in which the rhyming lines agree, or None; the commonest when several hold them all.
    rhyme_lines, rhyme_words: the lines that rhyme or must (the even ones when the form is unknown), counted from 1, and
        their last characters.
    rhyme_errors: those outside the class in which most of them lie.
    faults: what strict verse forbids; licences: allowed departures that were made use of.
    """

    lines: tuple[str, ...]
    book: str
    strict: bool
    tones: tuple[str, ...]
    form: str | None = None
    problem: str = ""
    order: str | None = None
    template: tuple[str, ...] = ()
    tone_errors: tuple[ToneError, ...] = ()
    rhyme_class: str | None = None
    rhyme_lines: tuple[int, ...] = ()
    rhyme_words: tuple[str, ...] = ()
    rhyme_errors: tuple[RhymeError, ...] = ()
    faults: tuple[Note, ...] = ()
    licences: tuple[Note, ...] = ()

    @property
    def form_ok(self) -> bool:
        """The lines have the number and the lengths of the form."""
        return not self.problem

    @property
    def rhyme_ok(self) -> bool:
        """The lines that must rhyme do. A first line that only should is told of in `faults`."""
        return self.rhyme_class is not None

    @property
    def repeated_rhyme_words(self) -> tuple[str, ...]:
        """Characters that serve as rhyme more than once."""
        return tuple(_repeated(self.rhyme_words))

    @property
    def repeated(self) -> dict[str, int]:
        """Characters that come more than once anywhere, and how often."""
        return _repeated("".join(self.lines))

    @property
    def unknown(self) -> tuple[str, ...]:
        """Characters that the rhyme book does not know."""
        pairs = zip("".join(self.lines), "".join(self.tones), strict=True)
        return tuple(dict.fromkeys(character for character, tone in pairs if tone == "？"))

    @property
    def ok(self) -> bool:
        """Nothing is wrong by the measure of the check. Characters that come twice outside the rhymes are not wrong."""
        sound = self.form_ok and not self.tone_errors and self.rhyme_ok and not self.repeated_rhyme_words
        return sound and not (self.strict and self.faults)

    def to_dict(self) -> dict[str, Any]:
        """Everything as dictionaries, lists, strings, numbers and None, as JSON knows them."""
        derived = {name: getattr(self, name) for name in DERIVED}
        return {name: _plain(value) for name, value in (asdict(self) | derived).items()}

    def __str__(self) -> str:
        """The poem with the tone of each character below it, a mark under what is wrong, and the reasons."""
        return "\n".join([self._heading(), *self._marked_lines(), *self._remarks()])

    def _heading(self) -> str:
        parts = [self.form or "no known form"]
        if self.order:
            parts.append(f"order {self.order}")
        if self.rhyme_class:
            parts.append(f"rhyme {self.rhyme_class} ({', '.join(self.rhyme_words)})")
        return f"{'✓' if self.ok else '✗'} {' · '.join(parts)}"

    def _marked_lines(self) -> Iterator[str]:
        for number, (line, tones) in enumerate(zip(self.lines, self.tones, strict=True), start=1):
            yield f"  {line}"
            yield f"  {tones}"
            wrong = {error.position for error in self.tone_errors if error.line == number}
            if wrong:  # full width signs, so that they stand under the characters
                yield "  " + "".join("＾" if place in wrong else "\u3000" for place in range(1, max(wrong) + 1))

    def _remarks(self) -> Iterator[str]:
        if self.problem:
            yield self.problem
        yield from map(str, (*self.tone_errors, *self.rhyme_errors))
        if self.repeated_rhyme_words:
            yield f"rhyme words used twice: {' '.join(self.repeated_rhyme_words)}"
        yield from (f"line {note.line}, fault {note.name}: {note.meaning}" for note in self.faults)
        yield from (f"line {note.line}, licence {note.name}: {note.meaning}" for note in self.licences)
        if self.repeated:
            yield "repeated: " + " ".join(f"{character}×{count}" for character, count in self.repeated.items())
        if self.unknown:
            yield f"unknown to the rhyme book: {' '.join(self.unknown)}"


def _repeated(characters: Iterable[str]) -> dict[str, int]:
    return {character: count for character, count in Counter(characters).items() if count > 1}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (tuple, list)) else value
