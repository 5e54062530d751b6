"""What a model sees of a poem: every wish is one number, and says what the next token is."""

from __future__ import annotations

import itertools
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plm.errors import ConfigError
from plm.poetry.prompt import (
    FORM_IDS,
    FORM_TOKENS,
    MARKS,
    MOST_LEFT,
    SEP,
    TYPES,
    Wish,
    body_tokens,
    form_of,
    places,
    prompt_tokens,
    token_types,
)
from plm.poetry.tones import Want

LINES = st.lists(st.text(alphabet="山水云月", min_size=1, max_size=12), min_size=1, max_size=8)


def poem_of(lines: list[str]) -> str:
    return "".join(line + ("，" if number % 2 == 0 else "。") for number, line in enumerate(lines))[:-1] + "。"


def test_every_wish_has_a_number_of_its_own() -> None:
    characters = itertools.product(range(1, MOST_LEFT + 1), get_args(Want), (False, True))
    wishes = [Wish(left=left, tone=tone, rhymes=rhymes) for left, tone, rhymes in characters]
    numbers = [wish.number for wish in [*wishes, *(Wish(mark=mark) for mark in MARKS)]]
    assert sorted(numbers) == list(range(1, TYPES))


def test_long_lines_count_from_where_numbers_end() -> None:
    assert Wish(left=MOST_LEFT + 5).number == Wish(left=MOST_LEFT).number


def test_the_prompt_says_form_and_title() -> None:
    assert prompt_tokens("七绝", "下江陵") == ["[CLS]", "[七绝]", "下", "江", "陵", "[SEP]"]
    assert prompt_tokens(None) == ["[CLS]", "[古]", "[SEP]"]
    with pytest.raises(ConfigError, match=r"no form '七言'.*there are: 五绝"):
        prompt_tokens("七言")


def test_a_number_stands_where_the_next_token_is_foreseen() -> None:
    prompt, body = prompt_tokens("五绝", "登"), body_tokens("白日，")
    types = token_types(len(prompt), [Wish(left=2).number, Wish(left=1).number, Wish(mark="，").number, 3])
    assert len(types) == len(prompt) + len(body)
    assert types == [0, 0, 0, Wish(left=2).number, Wish(left=1).number, Wish(mark="，").number, 3, 0]


@settings(deadline=None, max_examples=50)
@given(LINES)
def test_places_are_the_wishes_of_a_plan_without_sound(lines: list[str]) -> None:
    body = poem_of(lines)
    plan: list[Wish] = []
    for line, mark in zip(lines, [sign for sign in body if sign in "，。"], strict=True):
        plan += [Wish(left=left) for left in range(len(line), 0, -1)]
        plan.append(Wish(mark=mark))
    assert places(body) == [wish.number for wish in [*plan, Wish(mark=SEP)]]


@pytest.mark.parametrize(
    ("lines", "form"),
    [(["山" * 5] * 4, "五绝"), (["山" * 7] * 4, "七绝"), (["山" * 5] * 8, "五律"), (["山" * 7] * 8, "七律"),
     (["山" * 5] * 6, "古"), (["山" * 4] * 4, "古"), (["山" * 5, "山" * 7] * 2, "古"), (["山" * 5], "古")],
)  # fmt: skip
def test_shape_tells_the_form(lines: list[str], form: str) -> None:
    assert form_of(poem_of(lines)) == form


def test_other_marks_are_another_form() -> None:
    assert form_of("山山山山山，山山山山山，山山山山山，山山山山山。") == "古"


def test_every_form_has_a_token_and_a_plain_name() -> None:
    assert FORM_TOKENS.keys() == FORM_IDS.keys()
    assert all(name.isascii() for name in FORM_IDS.values())
