"""What a wish gives: the form that it comes to, and which characters stand where."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from plm.errors import PoemError
from plm.poetry.characters import DECORATION, is_han, normalize, parse_poem
from plm.poetry.form_tables import find_form
from plm.poetry.forms import Form, Order
from plm.poetry.prompt import FREE, SHAPES
from plm.poetry.request import PoemRequest
from plm.poetry.script import counterparts, to_simplified

FREE_NAMES = ("free", FREE, "古体", "古风")
USUAL_LENGTH, USUAL_LINES, FEWEST_LINES, MOST_LINES = 7, 8, 2, 24

# How often people rhyme free poems in each tone, about.
_LEVEL_SHARE, _OBLIQUE_SHARE = 0.75, 0.25

Place = tuple[int, int]
"""Line, and place in it, from 0."""


@dataclass(frozen=True)
class Given:
    """What is settled before anything is written.

    characters: as the poet writes them, see `familiar`. typed: those that the wish has otherwise, as it has them.
    """

    form: Form
    characters: Mapping[Place, str]
    typed: Mapping[Place, str]


def read_given(request: PoemRequest, vocabulary: Collection[str]) -> Given:
    """What a wish gives. vocabulary: the characters that the poet knows.

    Raises PoemError where that cannot be a poem, and UnknownNameError for an unknown form.
    """
    lines, heads, tails = _parts(request)
    form = _form(request, lines, heads or tails)
    typed = {(line, column): one for line, text in enumerate(_laid(form, lines)) for column, one in enumerate(text)}
    begun = {(line, 0): one for line, one in enumerate(heads)}
    ended = {(line, form.lengths[line] - 1): one for line, one in enumerate(tails)}
    if clash := [place for place in begun.keys() & ended.keys() if begun[place] != ended[place]]:
        line = min(clash)[0]
        raise PoemError(f"line {line + 1} of {form.name} is one character, not {heads[line]} and {tails[line]}")
    typed |= begun | ended
    characters = {place: familiar(one, vocabulary) for place, one in typed.items()}
    strange = " ".join(dict.fromkeys(one for one in characters.values() if one not in vocabulary))
    if strange:
        raise PoemError(f"the poet does not know {strange} (it knows {len(vocabulary):,} characters): take another")
    return Given(form, characters, {place: one for place, one in typed.items() if one != characters[place]})


def familiar(text: str, vocabulary: Collection[str]) -> str:
    """`text` in simplified characters, as far as the poet knows them.

    What may be simplified already stays, if the poet knows it (乾坤, not 干坤), as does what it knows in no other way.
    """

    def one_of(one: str) -> str:
        simplified = to_simplified(one)
        is_own = one in counterparts(one, "simplified") or simplified not in vocabulary
        return one if is_own and one in vocabulary else simplified

    return "".join(map(one_of, text))


def free_form(*, lines: int, length: int) -> Form:
    """Lines of one length, of which the even ones and the last rhyme, level or oblique; no other tone is wanted.

    Of two lines both rhyme.
    """
    rhymes = tuple(line for line in range(1, lines + 1) if line % 2 == 0 or line == lines or lines == 2)
    return Form(
        name=FREE,
        title="古体",
        orders=tuple(
            Order(
                name,
                tuple("中" * (length - 1) + (sign if line in rhymes else "中") for line in range(1, lines + 1)),
                rhymes,
                ("",) * lines,
                share,
            )
            for name, sign, share in (("level", "平", _LEVEL_SHARE), ("oblique", "仄", _OBLIQUE_SHARE))
        ),
    )


def read_lines(text: str, name: str) -> list[str]:
    """The lines of a text, without marks. name: of the wish, for errors.

    Raises PoemError where there is anything but Chinese characters and marks, or marks alone.
    """
    lines = list(parse_poem(text))
    strange = [one for line in lines for one in line if not is_han(one)]
    if strange:
        raise PoemError(f"{name}: {strange[0]!r} is not a Chinese character")
    if text and not lines:
        raise PoemError(f"{name}: {text!r} has no Chinese character")
    return lines


def _parts(request: PoemRequest) -> tuple[list[str], str, str]:
    """Given lines, the last of which is to be finished and may be empty; first characters; last characters."""
    text = read_lines(request.text, "text")
    if request.mode == "continue":
        is_finished = DECORATION.sub("", normalize(request.text)).rstrip().endswith(tuple("，。！？；：、"))
        return [*text, ""] if is_finished else text, "", ""
    heads, tails = "".join(text), "".join(read_lines(request.tails, "tails"))
    if heads and tails and len(heads) != len(tails):
        raise PoemError(f"text begins {len(heads)} lines, tails end {len(tails)}: give one of each for every line")
    return [], heads, tails


def _form(request: PoemRequest, lines: Sequence[str], ends: str) -> Form:
    """The form that is wished, or suggested. ends: a character for each line, or none."""
    wished = to_simplified(_suggested(request, lines, ends) if request.form is None else request.form)
    if wished in FREE_NAMES:
        return _free(request, lines, ends)
    form = find_form(wished)
    for name, own in (("lines", {len(form.lengths)}), ("line_length", set(form.lengths))):
        value = getattr(request, name)
        if value is not None and own != {value}:
            raise PoemError(f"{name}: {value} is not that of {form.name}; it counts for free poems alone")
    if ends and len(ends) != len(form.lengths):
        raise PoemError(
            f"{form.name} has {len(form.lengths)} lines, so an acrostic needs as many characters; got {len(ends)}: "
            'take another form, or form="free" with a line for each'
        )
    return form


def _suggested(request: PoemRequest, lines: Sequence[str], ends: str) -> str:
    """A form that what is given and wished leaves open."""
    length = request.line_length or _line_length(lines)
    number = request.lines or len(ends) or (8 if sum(map(len, lines)) >= 4 * length else 4)
    return next((form for form, shape in SHAPES.items() if shape == (number, length)), FREE)


def _line_length(lines: Sequence[str]) -> int:
    """That of the first line; of a text without marks, 5 or 7 as fits."""
    if not lines:
        return USUAL_LENGTH
    size = len(lines[0])
    if len(lines) > 1 and size <= 9:
        return size
    return 5 if size <= 5 or (size > 7 and size % 5 == 0 and size % 7) else 7


def _free(request: PoemRequest, lines: Sequence[str], ends: str) -> Form:
    length = request.line_length or _line_length(lines)
    number = request.lines or len(ends) or max(USUAL_LINES, len(lines) + len(lines) % 2)
    if not 3 <= length <= 9:
        raise PoemError(f"line_length: lines of {length} characters are not those of a poem; 3 to 9 are, most 5 or 7")
    if not FEWEST_LINES <= number <= MOST_LINES:
        raise PoemError(f"lines: {number} of them are no poem; {FEWEST_LINES} to {MOST_LINES} are")
    if ends and len(ends) != number:
        raise PoemError(f"lines: {number} lines and {len(ends)} characters for them; leave out `lines`")
    return free_form(lines=number, length=length)


def _laid(form: Form, lines: Sequence[str]) -> Sequence[str]:
    """Given text, line by line as the form has them. Without marks it is cut where its lines end."""
    whole = [line for line in lines if line]
    if len(whole) == 1 and len(whole[0]) > form.lengths[0]:
        lines = whole = _cut(whole[0], form.lengths)
    if len(whole) > len(form.lengths):
        raise PoemError(f"{form.name} has {len(form.lengths)} lines; the text to go on from has {len(whole)}")
    for number, (line, length) in enumerate(zip(lines, form.lengths, strict=False), start=1):
        if len(line) > length or (len(line) < length and number < len(lines)):
            known = "a free poem has lines of one length" if form.name == FREE else 'name another form, or form="free"'
            raise PoemError(
                f"line {number} of {form.name} has {length} characters; the text has {line} with {len(line)}: {known}"
            )
    if sum(map(len, lines)) == sum(form.lengths):
        raise PoemError(f"the text is a whole {form.name} already: there is nothing to go on with")
    return lines


def _cut(text: str, lengths: Sequence[int]) -> list[str]:
    """`text` in pieces of these lengths; what is left over is the last piece."""
    pieces = []
    for length in lengths:
        pieces.append(text[:length])
        text = text[length:]
    return [piece for piece in (*pieces, text) if piece]
