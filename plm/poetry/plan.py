"""From a wish to a plan: for each place of a poem what may stand there.

A plan is drawn as people choose: the order of lines by how common it is, and the rhyme by how common it is, both among
those that what is given leaves open. So several plans of one wish differ, and a plan is a function of wish and number.
"""

from __future__ import annotations

import math
import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from plm.errors import PoemError, did_you_mean
from plm.poetry.characters import is_han, normalize, parse_poem
from plm.poetry.cleaning import COMMA, STOP
from plm.poetry.form_tables import FORMS, find_form
from plm.poetry.forms import Form, Order
from plm.poetry.prompt import FORM_TOKENS, FREE, SEP, Wish
from plm.poetry.request import PoemRequest
from plm.poetry.rhyme_books import RhymeBook
from plm.poetry.script import to_simplified
from plm.poetry.tones import Tone, Want, fits, wants

USUAL_FORM, USUAL_LENGTH, USUAL_LINES, MOST_LINES = "七绝", 7, 8, 24
FREE_NAMES = ("free", FREE, "古体", "古风")

# How much likelier an order is for each given character that fits it (e to this power).
_PER_CONFLICT = 3.0
# Characters of a rhyme class that a poem needs for each line that rhymes, so that there is a choice.
_PER_RHYME = 6

Given = Mapping[tuple[int, int], str]
"""Characters that are given, by line and place, from 0."""


@dataclass(frozen=True)
class Slot:
    """A token of a poem. wish: what it is to be. given: the character or mark that it has to be. line: from 0."""

    wish: Wish
    given: str | None
    line: int


@dataclass(frozen=True)
class Plan:
    """A poem before it is written.

    form: with the patterns of the order that was chosen. rhyme: class of the rhyme, which has rhyme_tone.
    slots: its tokens, marks and the [SEP] at the end included.
    """

    form: Form
    order: Order
    rhyme: str
    slots: tuple[Slot, ...]

    @property
    def token(self) -> str:
        """The token of the form in a prompt."""
        return self.form.name if self.form.name in FORM_TOKENS else FREE

    @property
    def rhyme_tone(self) -> Tone:
        """The tone of the rhyme."""
        return self.order.rhyme_tone


class Planner:
    """Makes the plans of one wish.

    vocabulary: characters that the poet knows. Raises PoemError for a wish that no poem can meet, with the reason, and
    UnknownNameError for names of forms, books and licences.
    """

    def __init__(self, request: PoemRequest, vocabulary: Collection[str]) -> None:
        self.request, self.book = request, RhymeBook.named(request.book)
        lines, heads, tails = _parts(request)
        self.form = _form(request, lines, heads, tails)
        self.given = _given(self.form, lines, heads, tails)
        _require_known(self.given.values(), vocabulary)
        self._sizes = {
            (rhyme, tone): sum(rhyme in self.book.rhymes(one, tone) for one in vocabulary if is_han(one))
            for tone in {order.rhyme_tone for order in self.form.orders}
            for rhyme in self.book.level_classes
        }
        self._choices = self._open_choices()

    def plan(self, number: int) -> Plan:
        """Plan `number` of the wish."""
        draw = random.Random(f"{self.request.seed}:{number}")
        weights = [weight for _, _, weight in self._choices]
        order, rhymes, _ = draw.choices(self._choices, weights)[0]
        names = sorted(rhymes)
        rhyme = draw.choices(names, [rhymes[name] for name in names])[0]
        return self._filled(self._licensed(order, draw), rhyme)

    def _open_choices(self) -> list[tuple[Order, dict[str, float], float]]:
        """Orders, each with the rhymes that are open to it, and its weight."""
        orders = [self.form.order(self.request.order)] if self.request.order else list(self.form.orders)
        found, reasons = [], []
        for order in orders:
            try:
                rhymes = self._rhymes(order)
            except PoemError as error:
                reasons.append(error)
                continue
            conflicts = sum(not self._suits(order, place, one) for place, one in self.given.items())
            found.append((order, rhymes, order.share * math.exp(-_PER_CONFLICT * conflicts)))
        if not found:
            raise reasons[0]
        return found

    def _rhymes(self, order: Order) -> dict[str, float]:
        """Rhyme classes by how often people use them, of those that what is given and wished allows."""
        tone = order.rhyme_tone
        words = {line: self.given.get((line - 1, self.form.lengths[line - 1] - 1)) for line in order.rhymes}
        ends = {line: word for line, word in words.items() if word is not None}
        classes = set(self.book.level_classes)
        for line, word in ends.items():
            classes &= self.book.rhymes(word, tone)
            if not classes:
                raise PoemError(_unrhymed(ends, line, self.book, tone))
        if len(set(ends.values())) < len(ends):
            raise PoemError(f"{''.join(ends.values())}: a rhyme word may come only once")
        if self.request.rhyme is not None:
            wished = _rhyme_class(self.request.rhyme, self.book)
            if wished not in classes:
                raise PoemError(f"rhyme {wished}: what is given rhymes in {', '.join(sorted(classes))}")
            classes = {wished}
        enough = {one for one in classes if self._sizes[one, tone] >= _PER_RHYME * len(order.rhymes)}
        if not enough and not ends and self.request.rhyme is None:
            raise PoemError("the poet knows too few characters that rhyme")
        # What is given or wished is tried, however few words there are.
        return {one: self.book.level_classes[one] for one in (enough or classes)}

    def _suits(self, order: Order, place: tuple[int, int], character: str) -> bool:
        line, column = place
        return fits(self.book.tones(character), order.wants[line][column])

    def _licensed(self, order: Order, draw: random.Random) -> Order:
        """The order with licences that the wish allows put in, each where it can be one time of four."""
        patterns = list(order.patterns)
        for licence in self.form.licences:
            size = len(licence.types)
            for start in range(len(patterns) - size + 1):
                lines = slice(start, start + size)
                fresh = patterns[lines] == list(order.patterns[lines])
                allowed = licence.name in self.request.licences and order.types[lines] == licence.types
                if allowed and fresh and draw.random() < 0.25:
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


def free_form(*, lines: int, length: int) -> Form:
    """Lines of one length, of which the even ones rhyme level; no other tone is wanted."""
    patterns = tuple("中" * (length - 1) + ("平" if line % 2 else "中") for line in range(lines))
    rhymes = tuple(range(2, lines + 1, 2)) or (1,)
    if lines == 1:
        patterns = ("中" * (length - 1) + "平",)
    return Form(name=FREE, title="古体", orders=(Order("free", patterns, rhymes, ("",) * lines),))


def _parts(request: PoemRequest) -> tuple[list[str], list[str], list[str]]:
    """Given lines, first characters and last characters, simplified and without marks."""
    for name in ("text", "tails", "title"):
        _require_han(getattr(request, name), name)
    text = to_simplified(normalize(request.text))
    if request.mode == "continue":
        return list(parse_poem(text)), [], []
    return [], list("".join(parse_poem(text))), list("".join(parse_poem(to_simplified(request.tails))))


def _require_han(text: str, name: str) -> None:
    strange = [one for line in parse_poem(text) for one in line if not is_han(one)]
    if strange:
        raise PoemError(f"{name}: {strange[0]!r} is not a Chinese character")


def _form(request: PoemRequest, lines: Sequence[str], heads: Sequence[str], tails: Sequence[str]) -> Form:
    wished = request.form
    count = max(len(heads), len(tails))
    if wished is None:
        wished = _suggested(request, lines, count)
    if wished in FREE_NAMES:
        return _free(request, lines, count)
    form = find_form(wished)
    for name, value in (("lines", request.lines), ("line_length", request.line_length)):
        if value is not None and value not in ({len(form.lengths)} if name == "lines" else set(form.lengths)):
            raise PoemError(f"{name}: {value} is not that of {form.name}; it counts for free poems alone")
    if count and any(characters and len(characters) != len(form.lengths) for characters in (heads, tails)):
        raise PoemError(
            f"{form.name} has {len(form.lengths)} lines, so an acrostic needs as many characters; got {count}: "
            'take another form, or form="free" with a line for each'
        )
    return form


def _suggested(request: PoemRequest, lines: Sequence[str], count: int) -> str:
    """A form that what is given and wished leaves open."""
    if request.lines is not None or request.line_length is not None:
        shapes = {
            (len(form.lengths), form.lengths[0]): name for name, form in FORMS.items() if len(set(form.lengths)) == 1
        }
        return shapes.get((request.lines or 4, request.line_length or USUAL_LENGTH), "free")
    if request.mode == "acrostic":
        return {4: USUAL_FORM, 8: "七律"}.get(count, "free")
    if lines:
        is_long = len(lines) > 4
        if len(lines[0]) == 5 or (len(lines) == 1 and len(lines[0]) < 5):
            return "五律" if is_long else "五绝"
        if len(lines[0]) != 7 and len(lines) > 1:
            return "free"
        return "七律" if is_long else USUAL_FORM
    return USUAL_FORM


def _free(request: PoemRequest, lines: Sequence[str], count: int) -> Form:
    length = request.line_length or (len(lines[0]) if len(lines) > 1 else USUAL_LENGTH)
    number = request.lines or count or max(USUAL_LINES, len(lines) + len(lines) % 2)
    if not 3 <= length <= 9:
        raise PoemError(f"line_length: lines of {length} characters are not those of a poem; 3 to 9 are, most 5 or 7")
    if not 1 <= number <= MOST_LINES:
        raise PoemError(f"lines: a poem of {number} lines is too long; {MOST_LINES} at most")
    if count and count != number:
        raise PoemError(f"lines: {number} lines and {count} characters for them; leave out `lines`")
    return free_form(lines=number, length=length)


def _given(form: Form, lines: Sequence[str], heads: Sequence[str], tails: Sequence[str]) -> dict[tuple[int, int], str]:
    found: dict[tuple[int, int], str] = {}
    for line, characters in enumerate(_fit_lines(form, lines)):
        found |= {(line, column): one for column, one in enumerate(characters)}
    found |= {(line, 0): one for line, one in enumerate(heads)}
    found |= {(line, form.lengths[line] - 1): one for line, one in enumerate(tails)}
    return found


def _fit_lines(form: Form, lines: Sequence[str]) -> list[str]:
    """Given text, line by line as the form has them. Without marks it is cut where its lines end."""
    if len(lines) == 1 and len(lines[0]) > form.lengths[0]:
        text, cut = lines[0], []
        for length in form.lengths:
            cut.append(text[:length])
            text = text[length:]
        lines = [*(line for line in cut if line), *([text] if text else [])]
    if len(lines) > len(form.lengths):
        raise PoemError(f"{form.name} has {len(form.lengths)} lines; the text to go on from has {len(lines)}")
    for number, (line, length) in enumerate(zip(lines, form.lengths, strict=False), start=1):
        last = number == len(lines)
        if len(line) > length or (len(line) < length and not last):
            raise PoemError(
                f"line {number} of {form.name} has {length} characters; the text has {line} with {len(line)}: name a "
                'form with such lines, or form="free"'
            )
    if sum(map(len, lines)) >= sum(form.lengths):
        raise PoemError(f"the text is a whole {form.name} already: there is nothing to go on with")
    return list(lines)


def _require_known(characters: Iterable[str], vocabulary: Collection[str]) -> None:
    strange = " ".join(dict.fromkeys(one for one in characters if one not in vocabulary))
    if strange:
        raise PoemError(f"the poet does not know {strange} (it knows {len(vocabulary):,} characters): take another")


def _judged(wanted: Sequence[Want], *, strict: bool) -> list[Want]:
    """The tones that count: all, or of every second place and the last."""
    last = len(wanted) - 1
    return [want if strict or place % 2 or place == last else "any" for place, want in enumerate(wanted)]


def _rhyme_class(name: str, book: RhymeBook) -> str:
    """A class by its name, or by the character it is called after: 七阳 or 阳."""
    name = to_simplified(name)
    found = [one for one in book.level_classes if name in (one, one[-1])]
    if len(found) != 1:
        known = ", ".join(book.level_classes)
        raise PoemError(f"rhyme: no level class {name!r}{did_you_mean(name, book.level_classes)} (there are: {known})")
    return found[0]


def _unrhymed(ends: Mapping[int, str], line: int, book: RhymeBook, tone: Tone) -> str:
    word = ends[line]
    classes = book.rhymes(word, tone)
    if not classes:
        return f"line {line} ends in {word}, which is no level rhyme: rhymes of these forms are level (平)"
    others = "".join(other for number, other in ends.items() if number < line)
    return f"line {line} ends in {word} ({', '.join(sorted(classes))}), which does not rhyme with {others}"
