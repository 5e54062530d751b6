"""Tones are laid over orders; licences mend what they are made for, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plm.poetry import FORMS, Form
from plm.poetry.fitting import Misfit, Tones, best_fit, faults, fit
from plm.poetry.tones import EITHER, Tone, wants

FORM = FORMS.get("五绝")
A_POEM_IN_D = ("仄仄平平仄", "平平仄仄平", "平平平仄仄", "仄仄仄平平")


def tones(*lines: str) -> list[Tones]:
    """Tones from patterns; 中 is a character that has both."""
    return [tuple(EITHER if want == "any" else frozenset[Tone]({want}) for want in wants(line)) for line in lines]


def with_lines(changed: dict[int, str]) -> list[Tones]:
    return tones(*(changed.get(number, line) for number, line in enumerate(A_POEM_IN_D, start=1)))


@st.composite
def followed_orders(draw: st.DrawFn) -> tuple[Form, str, list[Tones]]:
    """A form, one of its orders, and tones that follow it, chosen freely where it is free."""
    form = draw(st.sampled_from([form for _, form in FORMS.items()]))
    order = draw(st.sampled_from(form.orders))
    free = st.sampled_from("平仄")
    return form, order.name, tones(*("".join(draw(free) if s == "中" else s for s in line) for line in order.patterns))


@given(followed_orders())
@settings(deadline=None, max_examples=60)
def test_tones_that_follow_an_order_fit_it_without_fault(followed: tuple[Form, str, list[Tones]]) -> None:
    form, name, poem = followed
    found = best_fit(poem, form.orders)
    assert (found.order.name, found.misfits, found.licences) == (name, (), ())
    assert faults(poem, form, found.order) == ()


@given(followed_orders(), st.data())
@settings(deadline=None, max_examples=60)
def test_one_turned_tone_is_found_where_it_is(followed: tuple[Form, str, list[Tones]], data: st.DataObject) -> None:
    form, name, poem = followed
    order = form.order(name)
    line = data.draw(st.integers(1, len(poem)))
    position = data.draw(st.integers(1, len(poem[0])).filter(lambda place: order.wants[line - 1][place - 1] != "any"))
    want = order.wants[line - 1][position - 1]
    turned = list(poem[line - 1])
    turned[position - 1] = EITHER - turned[position - 1]
    poem[line - 1] = tuple(turned)
    assert fit(poem, order).misfits == (Misfit(line, position, want),)


def test_characters_of_both_tones_fit_every_order() -> None:
    poem = tones(*["中中中中中"] * 4)
    assert all(fit(poem, order).misfits == () for order in FORM.orders)
    assert best_fit(poem, FORM.orders).order is FORM.orders[0]  # the first among equals


def test_pivots_forgive_the_other_places() -> None:
    poem = with_lines({1: "平仄仄平仄"})
    assert fit(poem, FORM.order("D")).misfits == (Misfit(1, 3, "level"),)
    assert fit(poem, FORM.order("D"), judged="pivots").misfits == ()
    assert fit(with_lines({1: "仄平平仄平"}), FORM.order("D"), judged="pivots").misfits == (
        Misfit(1, 2, "oblique"),
        Misfit(1, 4, "level"),
        Misfit(1, 5, "oblique"),
    )


@pytest.mark.parametrize(
    ("changed", "names"),
    [
        ({3: "平平仄平仄"}, [(3, "三四互换")]),
        ({1: "仄仄仄仄仄", 2: "平平平仄平"}, [(1, "大拗相救")]),
        ({1: "仄仄平仄仄", 2: "仄平平仄平"}, [(1, "大拗相救")]),
        ({1: "仄仄仄平仄", 2: "平平平仄平"}, [(1, "小拗相救")]),
        ({1: "仄仄仄平仄"}, [(1, "小拗不救")]),
        ({2: "仄平平仄平"}, [(2, "孤平自救")]),
        ({2: "仄平平仄平", 3: "平平仄平仄"}, [(3, "三四互换"), (2, "孤平自救")]),
    ],
)
def test_a_licence_mends_what_it_is_made_for(changed: dict[int, str], names: Sequence[tuple[int, str]]) -> None:
    poem, order = with_lines(changed), FORM.order("D")
    assert fit(poem, order).misfits
    mended = fit(poem, order, licences=FORM.licences)
    assert mended.misfits == ()
    assert [(note.line, note.name) for note in mended.licences] == names


@pytest.mark.parametrize("changed", [{1: "仄仄平仄仄"}, {2: "仄平仄仄平"}, {3: "仄平仄平仄"}, {4: "仄仄平平平"}])
def test_what_no_licence_covers_stays_wrong(changed: dict[int, str]) -> None:
    found = fit(with_lines(changed), FORM.order("D"), licences=FORM.licences)
    assert found.misfits
    assert found.licences == ()


@pytest.mark.parametrize(
    ("changed", "names"),
    [
        ({2: "仄平仄仄平"}, [(2, "孤平")]),
        ({4: "仄仄平平平"}, [(4, "三平尾")]),
        ({2: "中平仄仄平", 4: "仄仄中平平"}, []),
    ],
)
def test_faults_are_named_when_they_are_sure(changed: dict[int, str], names: list[tuple[int, str]]) -> None:
    found = faults(with_lines(changed), FORM, FORM.order("D"))
    assert [(note.line, note.name) for note in found] == names
    assert all(note.meaning for note in found)


def test_in_lines_of_seven_the_fault_counts_from_the_end() -> None:
    form = FORMS.get("七绝")
    poem = tones("平平仄仄仄平平", "平仄仄平仄仄平", "仄仄平平平仄仄", "平平仄仄仄平平")
    assert [(note.line, note.name) for note in faults(poem, form, form.order("B"))] == [(2, "孤平")]
