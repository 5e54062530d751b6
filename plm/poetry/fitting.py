"""How well the tones of a poem fit an order of lines."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from plm.poetry.forms import Form, Licence, Order
from plm.poetry.tones import Tone, Want, fits, wants

Tones = tuple[frozenset[Tone], ...]
"""The tones of one line: for each character what it can be; none when it is unknown."""

Judged = Literal["all", "pivots"]
"""Which places of a line count: all, or every second and the last (一三五不论, "one, three, five do not matter")."""


@dataclass(frozen=True)
class Misfit:
    """A place whose character has not the tone that is wanted; line and position count from 1."""

    line: int
    position: int
    want: Want


@dataclass(frozen=True)
class Note:
    """A fault or a licence at a line, counted from 1: its name, and what that means in English."""

    line: int
    name: str
    meaning: str


@dataclass(frozen=True)
class Fit:
    """An order, what does not fit it, and the licences (name and first line) by which the rest does."""

    order: Order
    misfits: tuple[Misfit, ...]
    licences: tuple[Note, ...]


def fit(poem: Sequence[Tones], order: Order, *, judged: Judged = "all", licences: Sequence[Licence] = ()) -> Fit:
    """Lay `poem` over an order. A licence is used where the plain pattern fails and the licence mends it wholly."""
    found = [list(_misfits(line, tones, order.wants[line - 1], judged)) for line, tones in enumerate(poem, start=1)]
    used = []
    for licence in licences:
        size = len(licence.types)
        for start in range(len(poem) - size + 1):
            lines = slice(start, start + size)
            if order.types[lines] == licence.types and any(found[lines]) and _obeys(poem[lines], licence, judged):
                found[lines] = [[] for _ in range(size)]
                used.append(Note(start + 1, licence.name, licence.meaning))
    return Fit(order, tuple(misfit for line in found for misfit in line), tuple(used))


def best_fit(
    poem: Sequence[Tones], orders: Collection[Order], *, judged: Judged = "all", licences: Sequence[Licence] = ()
) -> Fit:
    """The fit with the fewest misfits; among equals the one with the fewest licences, then the first."""
    found = (fit(poem, order, judged=judged, licences=licences) for order in orders)
    return min(found, key=lambda one: (len(one.misfits), len(one.licences)))


def faults(poem: Sequence[Tones], form: Form, order: Order) -> tuple[Note, ...]:
    """The forbidden sounds. A character of both tones is given the benefit of the doubt."""
    return tuple(
        Note(line, fault.name, fault.meaning)
        for line, (tones, type_) in enumerate(zip(poem, order.types, strict=True), start=1)
        for fault in form.faults
        if fault.type in ("", type_) and _surely(tones, wants(fault.pattern))
    )


def _misfits(line: int, tones: Tones, pattern: tuple[Want, ...], judged: Judged) -> Iterator[Misfit]:
    for position, (tone, want) in enumerate(zip(tones, pattern, strict=True), start=1):
        counts = judged == "all" or position % 2 == 0 or position == len(pattern)
        if counts and not fits(tone, want):
            yield Misfit(line, position, want)


def _obeys(poem: Sequence[Tones], licence: Licence, judged: Judged) -> bool:
    patterns = map(wants, licence.patterns)
    return not any(any(_misfits(0, tones, want, judged)) for tones, want in zip(poem, patterns, strict=True))


def _surely(tones: Tones, pattern: tuple[Want, ...]) -> bool:
    if len(tones) != len(pattern):
        return False
    return all(want == "any" or tone == {want} for tone, want in zip(tones, pattern, strict=True))
