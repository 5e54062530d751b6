"""Poems come in all kinds of punctuation; their lines are found all the same."""

from __future__ import annotations

import pytest

from plm.poetry import is_han, normalize, parse_poem

LINES = ("白日依山尽", "黄河入海流")


@pytest.mark.parametrize(
    "text",
    [
        "白日依山尽，黄河入海流。",
        "白日依山尽,黄河入海流.",
        "白日依山尽\n黄河入海流",
        "白日依山尽；黄河入海流！？",
        " 白日依山尽　黄河入海流  ",
        "\ufeff「白日依山尽、黄河入海流」……",
        "《白日依山尽：黄河入海流》\r\n",
    ],
)
def test_lines_are_found_whatever_ends_them(text: str) -> None:
    assert parse_poem(text) == LINES


def test_what_is_neither_han_nor_punctuation_stays_to_be_named() -> None:
    assert parse_poem("白日A山□。") == ("白日A山□",)


@pytest.mark.parametrize("text", ["", "，。\n", " "])
def test_nothing_has_no_lines(text: str) -> None:
    assert parse_poem(text) == ()


def test_punctuation_becomes_full_width_and_characters_become_one_code_point() -> None:
    assert normalize("a,b.c:d!e?f;") == "a，b。c：d！e？f；"
    assert normalize("\uf9dc") == "隆"  # the compatibility ideograph of Korean sets


def test_han_is_every_chinese_character_and_nothing_else() -> None:
    assert all(map(is_han, "一鿿㐀䶿〇𠀀𫐐"))
    assert not any(map(is_han, "a1，。□あ한　"))
    assert not is_han("")
    assert not is_han("山河")
