"""Every layer of a student knows from which layer of the teacher it learns, as the paper's formulas say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plm.distillation.match import MATCHES, LayerMatch
from plm.errors import ConfigError, UnknownNameError


def match(name: str, student: int, teacher: int) -> tuple[int, ...]:
    return LayerMatch.named(name, student=student, teacher=teacher).teacher_layers


@pytest.mark.parametrize(
    ("name", "student", "teacher", "expected"),
    [
        ("uniform", 4, 12, (3, 6, 9, 12)),  # TinyBERT4
        ("uniform", 6, 12, (2, 4, 6, 8, 10, 12)),  # TinyBERT6
        ("uniform", 3, 3, (1, 2, 3)),
        ("top", 4, 12, (9, 10, 11, 12)),
        ("bottom", 4, 12, (1, 2, 3, 4)),
        ("nearest", 4, 6, (2, 3, 5, 6)),
        ("nearest", 5, 12, (2, 5, 7, 10, 12)),
        ("nearest", 4, 2, (1, 1, 2, 2)),
        ("last", 3, 12, (0, 0, 12)),
    ],
)
def test_the_formulas(name: str, student: int, teacher: int, expected: tuple[int, ...]) -> None:
    assert match(name, student, teacher) == expected


@given(student=st.integers(1, 24), teacher=st.integers(1, 24))
def test_nearest_takes_any_depth_in_order_and_ends_at_the_top(student: int, teacher: int) -> None:
    found = match("nearest", student, teacher)
    assert len(found) == student
    assert list(found) == sorted(found)
    assert found[0] >= 1
    assert found[-1] == teacher
    if student <= teacher:
        assert len(set(found)) == student
    if teacher % student == 0:
        assert found == match("uniform", student, teacher)


def test_layers_that_do_not_divide_are_refused_with_a_way_out() -> None:
    with pytest.raises(ConfigError, match=r'"uniform" needs .* multiple of the student\'s 4 blocks, got 6: take "near'):
        match("uniform", 4, 6)


@pytest.mark.parametrize("name", ["top", "bottom"])
def test_a_student_deeper_than_its_teacher_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="no more blocks than the teacher's 2, got 3"):
        match(name, 3, 2)


def test_an_unknown_match_is_explained() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'uniform'"):
        match("unifrom", 2, 4)
    assert MATCHES.names() == ["uniform", "nearest", "top", "bottom", "last"]


def test_blocks_may_be_named_and_left_out() -> None:
    named = LayerMatch((0, 2, 5))
    named.check(student=3, teacher=6)
    assert named.pairs == ((2, 2), (3, 5))


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ((1, 2), r"one number for each of the student's 3 blocks .* got \[1, 2\]"),
        ((1, 2, 7), "numbers 1 to 6 .* got 7"),
        ((-1, 2, 3), "got -1"),
    ],
)
def test_named_blocks_have_to_be_there(layers: tuple[int, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LayerMatch(layers).check(student=3, teacher=6)
