"""The sounds of a real poem: which tone each character has in it, and which characters rhyme."""

from __future__ import annotations

from collections.abc import Iterator

from plm.poetry.cleaning import COMMA, STOP, split_lines
from plm.poetry.fitting import best_fit
from plm.poetry.form_tables import FORMS
from plm.poetry.prompt import form_of
from plm.poetry.rhyme_books import RhymeBook
from plm.poetry.tones import UNKNOWN, Tone, fits


def tones_in(body: str, book: RhymeBook) -> list[frozenset[Tone]]:
    """What the tone of each sign of a poem can be; none for marks and unknown characters.

    A character with readings in both tones has, in a poem, one of them: the one that the best fitting order of lines
    wants there, if it wants one. 花 is nearly always level, though the book knows an oblique reading.
    """
    resolved = _resolved(body, book)
    return [UNKNOWN if sign in (COMMA, STOP) else next(resolved) for sign in body]


def rhyming(body: str, book: RhymeBook) -> list[int]:
    """Indices in a poem of the characters that rhyme with each other: ends of sentences, and of the first line.

    All sentences must share a rhyme class in one of their readings, and the first line counts if it shares it too;
    otherwise nothing rhymes.
    """
    ends = [index - 1 for index, sign in enumerate(body) if sign == STOP]
    shared = set.intersection(*(_classes(body[end], book) for end in ends)) if len(ends) > 1 else set()
    first = body.find(COMMA) - 1
    if shared and 0 <= first < ends[0] and shared & _classes(body[first], book):
        ends = [first, *ends]
    return ends if shared else []


def _resolved(body: str, book: RhymeBook) -> Iterator[frozenset[Tone]]:
    """Of each character, line by line."""
    lines = [tuple(map(book.tones, line)) for line in split_lines(body)]
    form = form_of(body)
    if form not in FORMS:
        return (tones for line in lines for tones in line)
    wanted = best_fit(lines, FORMS.get(form).orders).order.wants
    pairs = (pair for line, wants in zip(lines, wanted, strict=True) for pair in zip(line, wants, strict=True))
    return (frozenset({want}) if want != "any" and fits(tones, want) else tones for tones, want in pairs)


def _classes(character: str, book: RhymeBook) -> set[str]:
    return {reading.rhyme for reading in book.readings(character)}
