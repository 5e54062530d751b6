"""Substitutions that remember where characters came from."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from plm.tokenizers.edited_text import EditedText


def test_replaced_characters_point_to_what_they_replace() -> None:
    edited = EditedText("a—b…", start=0)
    edited.sub(re.compile("—"), "-")
    edited.sub(re.compile("…"), "...")
    assert edited.text == "a-b..."
    assert edited.origin == [(0, 1), (1, 2), (2, 3), (3, 4), (3, 4), (3, 4)]


def test_spaces_that_come_in_leave_the_other_characters_in_place() -> None:
    edited = EditedText("do(n't", start=10)
    edited.sub(re.compile(r"\("), r" \g<0> ")
    assert edited.text == "do ( n't"
    assert edited.origin is not None
    assert [edited.origin[i] for i in (0, 1, 3, 5)] == [(10, 11), (11, 12), (12, 13), (13, 14)]


def test_deleted_characters_leave_no_trace() -> None:
    edited = EditedText("a\0b", start=0)
    edited.sub(re.compile("\0"), "")
    assert (edited.text, edited.origin) == ("ab", [(0, 1), (2, 3)])


def test_a_text_that_another_program_changed_is_aligned() -> None:
    edited = EditedText("voilÃ\u00a0 le", start=0)
    edited.become("voilà le")
    assert edited.origin is not None
    assert [edited.origin[i] for i in (0, 3, 6, 7)] == [(0, 1), (3, 4), (7, 8), (8, 9)]
    assert edited.origin[4] == (4, 6)


def test_parts_are_joined_with_single_spaces_and_empty_ones_left_out() -> None:
    parts = [EditedText("a", start=0), EditedText("", start=1), EditedText("b", start=3)]
    whole = EditedText.joined(parts)
    assert (whole.text, whole.origin) == ("a b", [(0, 1), (1, 3), (3, 4)])


@given(
    text=st.text("ab cXY", max_size=30),
    new=st.sampled_from(["X", "XX", "-", ""]),
    pattern=st.sampled_from(["X+", "[ab]", " c", "Y"]),
)
@settings(deadline=None, max_examples=200)
def test_following_positions_never_changes_the_text(text: str, new: str, pattern: str) -> None:
    plain, followed = EditedText(text), EditedText(text, start=0)
    plain.sub(re.compile(pattern), new)
    followed.sub(re.compile(pattern), new)
    assert plain.text == followed.text
    assert plain.origin is None
    assert followed.origin is not None
    assert len(followed.origin) == len(followed.text)
    assert followed.origin == sorted(followed.origin)
