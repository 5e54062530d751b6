"""Patterns are read and written in the signs of the handbooks; a wish takes the characters that it names."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plm.errors import ConfigError
from plm.poetry.tones import EITHER, UNKNOWN, fits, sign, signs, wants


def test_a_pattern_says_one_wish_for_each_character() -> None:
    assert wants("中平仄") == ("any", "level", "oblique")


def test_another_sign_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="'x' is not one of 平"):
        wants("平x")


@given(st.text("平仄", max_size=9))
@settings(deadline=None, max_examples=30)
def test_tones_that_fulfil_a_pattern_to_the_letter_read_as_the_pattern(pattern: str) -> None:
    assert signs(frozenset({want}) for want in wants(pattern) if want != "any") == pattern


def test_both_tones_fit_everything_and_none_fit_only_any() -> None:
    assert all(fits(EITHER, want) for want in ("any", "level", "oblique"))
    assert [fits(UNKNOWN, want) for want in ("any", "level", "oblique")] == [True, False, False]
    assert (sign(EITHER), sign(UNKNOWN)) == ("中", "？")
