"""The forms obey the laws of regulated verse, and a form that contradicts itself is refused."""

from __future__ import annotations

from itertools import pairwise

import pytest

from plm.errors import ConfigError, PoemError
from plm.poetry import FORMS, Form, Order

ORDERS = [(form, order) for _, form in FORMS.items() for order in form.orders]
every_order = pytest.mark.parametrize(("form", "order"), ORDERS, ids=lambda value: value.name)


@every_order
def test_two_lines_of_a_couplet_oppose_each_other_at_the_pivots(form: Form, order: Order) -> None:
    for first, second in zip(order.wants[::2], order.wants[1::2], strict=True):
        for pivot in range(1, len(first) - 1, 2):
            assert {first[pivot], second[pivot]} == {"level", "oblique"}


@every_order
def test_a_couplet_begins_as_the_last_one_ended(form: Form, order: Order) -> None:
    for last, first in zip(order.wants[1::2], order.wants[2::2], strict=False):
        assert last[1] == first[1]


@every_order
def test_pivots_of_a_line_alternate(form: Form, order: Order) -> None:
    for line in order.wants:
        pivots = line[1:-1:2]
        assert all({one, other} == {"level", "oblique"} for one, other in pairwise(pivots))


@every_order
def test_rhyming_lines_end_level_and_the_others_oblique(form: Form, order: Order) -> None:
    for number, line in enumerate(order.wants, start=1):
        assert line[-1] == ("level" if number in order.rhymes else "oblique")
    assert {type_ for number, type_ in enumerate(order.types, start=1) if number in order.rhymes} == {"T1", "T2"}
    assert order.rhyme_tone == "level"


@every_order
def test_even_lines_rhyme_and_the_first_in_orders_b_and_c(form: Form, order: Order) -> None:
    even = tuple(range(2, len(order.patterns) + 1, 2))
    assert order.rhymes == ((1, *even) if order.name in "BC" else even)
    assert form.rhymes == even


@every_order
def test_no_pattern_asks_for_a_fault(form: Form, order: Order) -> None:
    for pattern, type_ in zip(order.patterns, order.types, strict=True):
        assert not pattern.endswith("平平平")
        if type_ == "T2":
            assert pattern[-5:] == "平平仄仄平"  # its first 平 is not free: that would leave one level alone


@pytest.mark.parametrize("form", [form for _, form in FORMS.items()], ids=lambda form: form.name)
def test_shares_of_orders_sum_to_one(form: Form) -> None:
    assert sum(order.share for order in form.orders) == pytest.approx(1, abs=0.002)


@pytest.mark.parametrize("form", [form for _, form in FORMS.items()], ids=lambda form: form.name)
def test_licences_and_faults_have_patterns_as_long_as_the_lines(form: Form) -> None:
    assert len(form.licences) == 5
    assert {len(pattern) for licence in form.licences for pattern in licence.patterns} == set(form.lengths)
    assert all(len(licence.types) == len(licence.patterns) for licence in form.licences)
    assert {fault.name: len(fault.pattern) for fault in form.faults} == dict.fromkeys(
        ("孤平", "三平尾"), form.lengths[0]
    )


def test_an_order_is_found_by_name() -> None:
    form = FORMS.get("七绝")
    assert form.order("B").rhymes == (1, 2, 4)
    with pytest.raises(PoemError, match=r"七绝 has no order 'E' of lines \(known: A, B, C, D\)"):
        form.order("E")


def order(*patterns: str, rhymes: tuple[int, ...]) -> Order:
    return Order("x", patterns, rhymes, ("",) * len(patterns))


@pytest.mark.parametrize(
    ("orders", "message"),
    [
        ((), "at least one order"),
        ((order("平平", rhymes=(1,)), order("平", rhymes=(1,))), "differ in length"),
        ((order("平平", rhymes=()),), "must name lines from 1 to 1"),
        ((order("平平", rhymes=(2,)),), "must name lines from 1 to 1"),
        ((order("平平", "仄仄", rhymes=(1, 2)),), "all end in 平 or all in 仄"),
        ((order("平中", rhymes=(1,)),), "all end in 平 or all in 仄"),
        ((order("平x", rhymes=(1,)),), "'x' is not one of"),
    ],
)
def test_a_form_that_contradicts_itself_is_refused(orders: tuple[Order, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Form(name="x", title="x", orders=orders)
