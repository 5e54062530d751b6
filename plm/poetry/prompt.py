"""How a model sees a poem: tokens, and for each position a number that says what the next token is to be.

    tokens: [CLS] [七绝] title characters [SEP]   朝 辞 白 帝 彩 云 间 ， 千 ... 还 。 [SEP]
    number: 0     0      0                 wish   wish of the next one ...         END  0

The number stands in token_type_ids, so that any BERT or NEZHA learns wishes in the rows of its segment table, without
new parts; 0, the segment of the prompt, also says that nothing is wished. TYPES of them are needed:

    0                nothing is known of the next token
    1, 2, 3          the next token is ， is 。 is the [SEP] that ends the poem
    4 + 6 (left - 1) + 2 tone + rhymes
                     the next token is a character: `left` characters are left in its line, it included (1 to 8, 8 also
                     for more), tone 0 = any, 1 = level (平), 2 = oblique (仄), rhymes 1 = it rhymes

The same functions serve training, with the wishes that a real poem fulfils, and decoding, with those of a plan.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from plm.errors import ConfigError, did_you_mean
from plm.poetry.cleaning import COMMA, STOP, split_lines
from plm.poetry.tones import Want

CLS, SEP, UNK, PAD, MASK = "[CLS]", "[SEP]", "[UNK]", "[PAD]", "[MASK]"

FREE = "古"
"""The form of all poems that are of no other."""

SHAPES: Mapping[str, tuple[int, int]] = {"五绝": (4, 5), "七绝": (4, 7), "五律": (8, 5), "七律": (8, 7)}
"""Lines, and characters of a line, of the forms that have a token of their own."""

FORM_TOKENS: Mapping[str, str] = {form: f"[{form}]" for form in (*SHAPES, FREE)}
"""The token of each form."""

FORM_IDS: Mapping[str, str] = {"五绝": "wujue", "七绝": "qijue", "五律": "wulv", "七律": "qilv", FREE: "gu"}
"""Names of the forms where only plain letters will do, such as names of metrics."""

MARKS: Mapping[str, int] = {COMMA: 1, STOP: 2, SEP: 3}
"""The number of the position before each of these tokens."""

MOST_LEFT = 8
TONES: Mapping[Want, int] = {"any": 0, "level": 1, "oblique": 2}
TONE_STEP, RHYME_STEP = 2, 1
_FIRST, _LEFT_STEP = 4, 6

TYPES = _FIRST + MOST_LEFT * _LEFT_STEP
"""Rows of the segment table: 52."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a token is to be: a mark, or a character.

    left: characters left in the line, this one included. rhymes: True = it ends a line that rhymes.
    mark: "，", "。" or "[SEP]", and then there is nothing else to say.
    """

    left: int = 0
    tone: Want = "any"
    rhymes: bool = False
    mark: str | None = None

    @property
    def number(self) -> int:
        """Packed as the first lines of this file say."""
        return place(self.left, self.mark) + TONE_STEP * TONES[self.tone] + RHYME_STEP * self.rhymes


def place(left: int, mark: str | None = None) -> int:
    """The number of a wish for a mark, or for any character at a place of the line; tone and rhyme are added to it."""
    return MARKS[mark] if mark is not None else _FIRST + _LEFT_STEP * (min(left, MOST_LEFT) - 1)


def prompt_tokens(form: str | None, title: str = "") -> list[str]:
    """What stands before a poem. form: a name in FORM_TOKENS; None = free."""
    name = form or FREE
    if name not in FORM_TOKENS:
        raise ConfigError(
            f"form: no form {name!r}{did_you_mean(name, FORM_TOKENS)} (there are: {', '.join(FORM_TOKENS)})"
        )
    return [CLS, FORM_TOKENS[name], *title, SEP]


def body_tokens(body: str) -> list[str]:
    """The poem and its end."""
    return [*body, SEP]


def token_types(prompt: int, numbers: Sequence[int]) -> list[int]:
    """token_type_ids of a row. prompt: its tokens. numbers: of the wishes for each token of the poem, [SEP] included.

    Each wish stands one position ahead of what it is for, where that is predicted.
    """
    return [*[0] * (prompt - 1), *numbers, 0]


def form_of(body: str) -> str:
    """The form of a poem, told by its shape alone: a name in FORM_TOKENS."""
    lines = split_lines(body)
    marks = [sign for sign in body if sign in (COMMA, STOP)]
    shape = (len(lines), *{len(line) for line in lines})
    is_alternate = marks == [COMMA, STOP] * (len(lines) // 2)
    return next((form for form, known in SHAPES.items() if is_alternate and known == shape), FREE)


def places(body: str) -> list[int]:
    """The number of each token of a poem and its [SEP] when neither tone nor rhyme is wished."""
    numbers: list[int] = []
    left = 0
    for sign in reversed(body):
        left = 0 if sign in (COMMA, STOP) else left + 1
        numbers.append(place(left, None if left else sign))
    return [*reversed(numbers), MARKS[SEP]]
