"""Verse forms as data: how many lines, how long, which tone where, which lines rhyme.

Regulated verse builds its poems from four types of line, told apart by where the tones turn and how they end:

    T0  中平平仄仄      T1  中仄仄平平      T2  平平仄仄平      T3  中仄平平仄

(平 level, 仄 oblique, 中 either; a line of seven puts two more in front.) Two lines make a couplet whose tones
oppose each other at the second character (对); the next couplet begins as the last ended (粘). Four *orders* of lines
obey both rules, here A to D; B and C let the first line rhyme. Short forms have four lines (绝句), long ones eight
(律诗).

A form is a table, so another, a 词 with lines of unequal length say, needs no code: see plm/poetry/form_tables.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from plm.errors import ConfigError, PoemError
from plm.poetry.tones import Tone, Want, wants


@dataclass(frozen=True)
class Order:
    """One arrangement of tones over a whole poem.

    name: "A" to "D" in regulated verse.
    patterns: one string of 平, 仄 and 中 for each line.
    rhymes: the lines that rhyme, counted from 1.
    types: the name of each line's type, for rules that hold for a type; "" where a line has none.
    share: how often people choose this order, among the orders of the form.
    """

    name: str
    patterns: tuple[str, ...]
    rhymes: tuple[int, ...]
    types: tuple[str, ...]
    share: float = 1.0

    @cached_property
    def wants(self) -> tuple[tuple[Want, ...], ...]:
        """What each place asks for, line by line."""
        return tuple(map(wants, self.patterns))

    @property
    def rhyme_tone(self) -> Tone:
        """The tone of the rhyming characters."""
        want = self.wants[self.rhymes[0] - 1][-1]
        assert want != "any"  # checked when the form was made
        return want


@dataclass(frozen=True)
class Licence:
    """A departure from the pattern that the rules know by name (拗救), over one line or several that follow each other.

    types: the types of line it needs; patterns: what the lines look like then; meaning: in English.
    """

    name: str
    meaning: str
    types: tuple[str, ...]
    patterns: tuple[str, ...]


@dataclass(frozen=True)
class Fault:
    """A sound that strict verse forbids: a line of this type ("" = any) that surely has this pattern."""

    name: str
    meaning: str
    type: str
    pattern: str


@dataclass(frozen=True, kw_only=True)
class Form:
    """A verse form.

    name: simplified, "七绝"; aliases: further names by which it is found; title: "七言绝句".
    orders: at least one; all have lines of the same lengths.
    licences, faults: rules of which a check can make use.
    """

    name: str
    title: str
    orders: tuple[Order, ...]
    aliases: tuple[str, ...] = ()
    licences: tuple[Licence, ...] = field(default=(), repr=False)
    faults: tuple[Fault, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if not self.orders:
            raise ConfigError(f"form {self.name}: it needs at least one order of lines")
        for order in self.orders:
            self._require_sound(order)

    def _require_sound(self, order: Order) -> None:
        where = f"form {self.name}, order {order.name}"
        if tuple(map(len, order.patterns)) != self.lengths:
            raise ConfigError(f"{where}: lines of {order.patterns} differ in length from those of the first order")
        if not order.rhymes or not all(1 <= line <= len(order.patterns) for line in order.rhymes):
            raise ConfigError(f"{where}: rhymes {order.rhymes} must name lines from 1 to {len(order.patterns)}")
        ends = {order.wants[line - 1][-1] for line in order.rhymes}
        if len(ends) > 1 or "any" in ends:
            raise ConfigError(f"{where}: rhyming lines must all end in 平 or all in 仄, got {order.patterns}")

    @property
    def lengths(self) -> tuple[int, ...]:
        """Characters of each line."""
        return tuple(map(len, self.orders[0].patterns))

    @property
    def rhymes(self) -> tuple[int, ...]:
        """The lines that rhyme in every order; what an order adds to them, the first line, may borrow a neighbour."""
        first, *others = (order.rhymes for order in self.orders)
        return tuple(line for line in first if all(line in rhymes for rhymes in others))

    def order(self, name: str) -> Order:
        """The order of this name. Raises PoemError listing the names."""
        for order in self.orders:
            if order.name == name:
                return order
        known = ", ".join(order.name for order in self.orders)
        raise PoemError(f"{self.name} has no order {name!r} of lines (known: {known})")
