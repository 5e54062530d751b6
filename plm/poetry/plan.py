"""From a wish to a plan: for each place of a poem what may stand there.

A plan is drawn as people choose: the order of lines by how common it is, and the rhyme by how common it is, both among
those that what is given leaves open. So several plans of one wish differ, and a plan is a function of wish and number.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from plm.errors import PoemError, UnknownNameError, did_you_mean
from plm.poetry.cleaning import COMMA, STOP
from plm.poetry.forms import Form, Order
from plm.poetry.given import familiar, read_given, read_lines
from plm.poetry.prompt import FORM_TOKENS, FREE, SEP, Wish, prompt_tokens
from plm.poetry.request import PoemRequest
from plm.poetry.rhyme_books import RhymeBook
from plm.poetry.script import to_simplified, to_traditional
from plm.poetry.tones import Tone, Want, fits, wants

# How much likelier an order is for each given character that fits it (e to this power).
_PER_CONFLICT = 3.0
# Characters of a rhyme class that a poem should have for each line that rhymes, so that there is a choice.
_PER_RHYME = 6
# How often a licence is made use of where it can be, and nothing that is given calls for it.
_LICENCE_SHARE = 0.25


@dataclass(frozen=True)
class Slot:
    """A token of a poem. wish: what it is to be. given: the character or mark that it has to be. line: from 0."""

    wish: Wish
    given: str | None
    line: int


@dataclass(frozen=True)
class Plan:
    """A poem before it is written.

    form, order: the order has the patterns that are to be followed, licences put in.
    rhyme: class of the rhyme, in the tone of the order's rhymes.
    slots: its tokens, marks and the [SEP] at the end included.
    """

    form: Form
    order: Order
    rhyme: str
    slots: tuple[Slot, ...]


class Planner:
    """Makes the plans of one wish.

    vocabulary: characters that the poet knows.
    form: of the poem. given: characters by line and place, from 0; typed: those of them that the wish has otherwise
    (traditional), as it has them. title: what the poet knows of it. notes: what was left out of the wish, for people.
    Raises PoemError for a wish that no poem can meet, with the reason, and UnknownNameError for names of forms, books
    and licences.
    """

    def __init__(self, request: PoemRequest, vocabulary: Collection[str]) -> None:
        self.request, self.book = request, RhymeBook.named(request.book)
        self._vocabulary = frozenset(vocabulary)
        given = read_given(request, self._vocabulary)
        self.form, self.given, self.typed = given.form, given.characters, given.typed
        title = familiar("".join(read_lines(request.title, "title")), self._vocabulary)
        self.title = "".join(one for one in title if one in self._vocabulary)
        strange = "".join(one for one in title if one not in self._vocabulary)
        self.notes = (f"title: the poet does not know {strange}, and leaves it out",) if strange else ()
        _require_licences(request.licences, self.form)
        self._choices = self._open_choices()

    @property
    def prompt(self) -> list[str]:
        """The tokens that the poem goes on from."""
        return prompt_tokens(self.form.name if self.form.name in FORM_TOKENS else FREE, self.title)

    @property
    def tokens(self) -> int:
        """Tokens of a poem, its marks and [SEP] included."""
        return sum(self.form.lengths) + len(self.form.lengths) + 1

    def plan(self, number: int) -> Plan:
        """Plan `number` of the wish."""
        draw = random.Random(f"{self.request.seed}:{number}")
        weights = [weight for _, _, weight in self._choices]
        order, rhymes, _ = draw.choices(self._choices, weights)[0]
        names = sorted(rhymes)
        rhyme = draw.choices(names, [rhymes[name] for name in names])[0]
        return self._filled(self._licensed(order, draw), rhyme)

    def shown(self, line: str, number: int) -> str:
        """Line `number`, from 0, in the script that was asked for; what is given in it as it was given."""
        if self.request.script == "simplified":
            return line
        return "".join(self.typed.get((number, place), to_traditional(one)) for place, one in enumerate(line))

    def _open_choices(self) -> list[tuple[Order, dict[str, float], float]]:
        """Orders, each with the rhymes that are open to it, and its weight."""
        orders = [self.form.order(self.request.order)] if self.request.order else list(self.form.orders)
        found, reasons = [], dict[Tone, str]()
        for order in orders:
            try:
                rhymes = self._rhymes(order)
            except PoemError as error:
                reasons.setdefault(order.rhyme_tone, str(error))
                continue
            found.append((order, rhymes, order.share * math.exp(-_PER_CONFLICT * self._conflicts(order.patterns))))
        if not found:
            raise PoemError("; ".join(reasons.values()))
        return found

    def _rhymes(self, order: Order) -> dict[str, float]:
        """Rhyme classes by how often people use them, of those that what is given and wished allows."""
        tone, needed = order.rhyme_tone, len(order.rhymes)
        sizes = class_sizes(self.request.book, tone, self._vocabulary)
        ends = self._rhyme_words(order)
        classes = _shared(ends, self.book, tone) if ends else set(sizes)
        if self.request.rhyme is not None:
            wished = _rhyme_class(self.request.rhyme, sizes, tone)
            if wished not in classes:
                raise PoemError(f"rhyme {wished}: what is given rhymes in {', '.join(sorted(classes))}")
            classes = {wished}
        enough = {one for one in classes if sizes[one] >= needed}
        if not enough:
            named = ", ".join(sorted(classes)) if ends or self.request.rhyme else "any one class"
            raise PoemError(
                f"rhyme: {needed} lines rhyme, and the poet knows fewer characters of {named}: take another"
            )
        many = {one for one in enough if sizes[one] >= _PER_RHYME * needed}
        # Nobody has counted how often people take the oblique ones: as often as they have characters.
        shares = self.book.level_classes if tone == "level" else sizes
        return {one: shares[one] for one in many or enough}

    def _rhyme_words(self, order: Order) -> dict[int, str]:
        """Given characters that rhyme, by line from 1."""
        places = {line: (line - 1, self.form.lengths[line - 1] - 1) for line in order.rhymes}
        return {line: self.given[place] for line, place in places.items() if place in self.given}

    def _conflicts(self, patterns: Sequence[str], first: int = 0) -> int:
        """Given characters that do not suit these patterns, which are those of the lines from `first` on."""
        wanted = {
            (line, column): want
            for line, pattern in enumerate(patterns, start=first)
            for column, want in enumerate(_judged(wants(pattern), strict=self.request.strict))
        }
        here = {place: one for place, one in self.given.items() if place in wanted}
        return sum(not fits(self.book.tones(one), wanted[place]) for place, one in here.items())

    def _licensed(self, order: Order, draw: random.Random) -> Order:
        """The order with licences that the wish allows: where what is given calls for them, and here and there."""
        patterns = list(order.patterns)
        for licence in self.form.licences:
            size = len(licence.types)
            for start in range(len(patterns) - size + 1):
                lines = slice(start, start + size)
                fresh = tuple(patterns[lines]) == order.patterns[lines]
                if licence.name in self.request.licences and order.types[lines] == licence.types and fresh:
                    worse = self._conflicts(licence.patterns, start) - self._conflicts(order.patterns[lines], start)
                    if worse < 0 or (worse == 0 and draw.random() < _LICENCE_SHARE):
                        patterns[lines] = licence.patterns
        return replace(order, patterns=tuple(patterns))

    def _filled(self, order: Order, rhyme: str) -> Plan:
        slots: list[Slot] = []
        last = len(order.patterns) - 1
        for line, pattern in enumerate(order.patterns):
            wanted = _judged(wants(pattern), strict=self.request.strict)
            rhymes = line + 1 in order.rhymes
            for column, want in enumerate(wanted):
                left = len(pattern) - column
                wish = Wish(left=left, tone=want, rhymes=rhymes and left == 1)
                slots.append(Slot(wish, self.given.get((line, column)), line))
            mark = STOP if line % 2 or line == last else COMMA
            slots.append(Slot(Wish(mark=mark), mark, line))
        slots.append(Slot(Wish(mark=SEP), SEP, last))
        return Plan(self.form, order, rhyme, tuple(slots))


@lru_cache(maxsize=32)
def class_sizes(book: str, tone: Tone, vocabulary: frozenset[str]) -> Mapping[str, int]:
    """How many characters of a vocabulary each rhyme class of a book has in this tone."""
    named = RhymeBook.named(book)
    return Counter(rhyme for one in vocabulary for rhyme in named.rhymes(one, tone))


def _shared(ends: Mapping[int, str], book: RhymeBook, tone: Tone) -> set[str]:
    """The classes of all given rhyme words, which are by line. Raises PoemError where there is none."""
    if len(set(ends.values())) < len(ends):
        raise PoemError(f"{''.join(ends.values())}: a rhyme word may come only once")
    found: set[str] | None = None
    for line, word in ends.items():
        own = book.rhymes(word, tone)
        if not own:
            raise PoemError(f"line {line} ends in {word}, which is no {tone} rhyme, as is wanted there")
        if found is not None and not found & own:
            others = "".join(other for number, other in ends.items() if number < line)
            raise PoemError(
                f"line {line} ends in {word} ({', '.join(sorted(own))}), which does not rhyme with {others}"
            )
        found = set(own) if found is None else found & own
    assert found is not None, "asked for words that are given"
    return found


def _rhyme_class(name: str, classes: Iterable[str], tone: Tone) -> str:
    """A class by its name, or by the character it is called after: 七阳 or 阳."""
    name, known = to_simplified(name), sorted(classes)
    found = [one for one in known if name in (one, one[-1])]
    if len(found) != 1:
        raise PoemError(
            f"rhyme: no {tone} class {name!r}{did_you_mean(name, known)} (there are: {', '.join(known) or 'none'})"
        )
    return found[0]


def _require_licences(names: Iterable[str], form: Form) -> None:
    known = [licence.name for licence in form.licences]
    for name in names:
        if name not in known:
            listed = ", ".join(known) or "none"
            raise UnknownNameError(
                f"licences: {form.name} has none {name!r} to make use of{did_you_mean(name, known)} (known: {listed})"
            )


def _judged(wanted: Sequence[Want], *, strict: bool) -> list[Want]:
    """The tones that count: all, or of every second place and the last."""
    last = len(wanted) - 1
    return [want if strict or place % 2 or place == last else "any" for place, want in enumerate(wanted)]
