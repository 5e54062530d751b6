"""Simplified and traditional characters go over into each other, one for one."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from plm.poetry import to_simplified, to_traditional
from plm.poetry.script import counterparts, table


def test_a_traditional_poem_becomes_simplified() -> None:
    assert to_simplified("兩岸猿聲啼不住，輕舟已過萬重山。") == "两岸猿声啼不住，轻舟已过万重山。"


def test_a_simplified_poem_becomes_traditional() -> None:
    assert to_traditional("两岸猿声啼不住，轻舟已过万重山。") == "兩岸猿聲啼不住，輕舟已過萬重山。"


def test_one_to_many_takes_the_first_and_tells_all() -> None:
    assert counterparts("发", "traditional") == ("發", "髮")
    assert to_traditional("发") == "發"
    assert counterparts("乾", "simplified") == ("干", "乾")
    assert counterparts("山", "traditional") == ("山",)


def test_both_spellings_of_one_character_come_to_the_same() -> None:
    assert to_simplified("發髮") == "发发"


def test_tables_map_single_characters() -> None:
    for script in ("simplified", "traditional"):
        assert all(len(character) == 1 and others for character, others in table(script).items())
    assert len(table("simplified")) > 4000


@given(st.text(st.sampled_from(sorted(table("simplified"))), max_size=20))
@settings(deadline=None, max_examples=50)
def test_length_stays_and_simplified_text_stays_simplified(text: str) -> None:
    simplified = to_simplified(text)
    assert len(simplified) == len(text)
    assert to_simplified(simplified) == simplified or any(len(counterparts(one, "simplified")) > 1 for one in text)
