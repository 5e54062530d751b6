"""Wishes: what can be said of them before any poem is thought of."""

from __future__ import annotations

from typing import Any

import pytest

from plm.errors import ConfigError, PoemError
from plm.poetry.request import MOST_CANDIDATES, MOST_POEMS, MOST_TITLE, PoemRequest


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"text": "春"}, 'text: a poem of mode "random" is given nothing'),
        ({"tails": "春"}, 'tails: a poem of mode "random" is given nothing'),
        ({"mode": "continue"}, "goes on with a `text`"),
        ({"mode": "continue", "text": "春", "tails": "花"}, "has no `tails`"),
        ({"mode": "acrostic"}, "needs the first characters"),
        ({"temperature": 0.0}, "temperature: 0.0 must be above 0"),
        ({"top_p": 1.5}, "top_p: 1.5 must be above 0"),
        ({"repetition": -1.0}, "repetition: -1.0 must be 0"),
        ({"n": MOST_POEMS + 1}, "more than 64 at once"),
        ({"candidates": MOST_CANDIDATES + 1}, "more than 256 at once"),
        ({"title": "春" * (MOST_TITLE + 1)}, "title: 33 characters are more than 32"),
    ],
)
def test_wishes_that_contradict_themselves_say_why(wish: dict[str, Any], message: str) -> None:
    with pytest.raises(PoemError, match=message):
        PoemRequest(**wish)


@pytest.mark.parametrize(
    "wish",
    [
        {"n": 0},
        {"temperature": float("nan")},
        {"lines": 0},
        {"line_length": -1},
        {"top_k": 0},
        {"mode": "ode"},
        {"n": "2"},
    ],
)
def test_values_of_the_wrong_kind_name_their_field(wish: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wish))):
        PoemRequest(**wish)
