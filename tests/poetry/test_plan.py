"""From wishes to plans: orders, rhymes and licences are drawn among those that what is given leaves open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from plm.errors import PoemError, UnknownNameError
from plm.poetry import FORMS, RhymeBook, check, form_from_dict
from plm.poetry.plan import Plan, Planner
from plm.poetry.prompt import SHAPES
from plm.poetry.request import PoemRequest

BOOK = RhymeBook.named("pingshui")
KNOWN = frozenset(one for one in map(chr, range(0x4E00, 0x9FA6)) if one in BOOK)


def planner(**wish: Any) -> Planner:
    return Planner(PoemRequest(**wish), KNOWN)


def plans(count: int = 60, **wish: Any) -> list[Plan]:
    made = planner(**wish)
    return [made.plan(number) for number in range(count)]


def signs(plan: Plan) -> list[str]:
    """The tones that are wanted, line by line."""
    lines = [""] * len(plan.form.lengths)
    for slot in plan.slots:
        lines[slot.line] += "" if slot.wish.mark else {"any": "中", "level": "平", "oblique": "仄"}[slot.wish.tone]
    return lines


@pytest.fixture
def song() -> Iterator[str]:
    """A form with lines of unequal length that rhyme oblique."""
    FORMS.add(
        "小令",
        form_from_dict(
            {
                "name": "小令",
                "orders": {"正体": {"lines": ["仄", "中仄仄平平仄", "中平中仄平平仄"], "rhymes": [1, 2, 3]}},
            }
        ),
    )
    yield "小令"
    FORMS.remove("小令")


def test_a_plan_follows_from_wish_and_number() -> None:
    assert plans(form="七律", seed=3) == plans(form="七律", seed=3)
    assert plans(form="七律", seed=3) != plans(form="七律", seed=4)
    assert len({(plan.order.name, plan.rhyme) for plan in plans(form="七律")}) > 10


def test_orders_are_drawn_as_people_choose() -> None:
    counts = Counter(plan.order.name for plan in plans(1000, form="五绝"))
    shares = {order.name: order.share for order in FORMS.get("五绝").orders}
    assert {name: counts[name] / 1000 for name in shares} == pytest.approx(shares, abs=0.05)


@pytest.mark.parametrize("form", SHAPES)
def test_a_plan_has_a_slot_for_each_token_and_the_tones_of_its_order(form: str) -> None:
    made = planner(form=form)
    for number in range(8):
        plan = made.plan(number)
        assert len(plan.slots) == made.tokens
        assert tuple(signs(plan)) == plan.order.patterns
        rhyming = {slot.line + 1 for slot in plan.slots if slot.wish.rhymes}
        assert rhyming == set(plan.order.rhymes)
        marks = [slot.given for slot in plan.slots if slot.wish.mark]
        assert marks == ["，", "。"] * (len(plan.form.lengths) // 2) + ["[SEP]"]


def test_relaxed_plans_ask_for_every_second_tone_and_the_last() -> None:
    plan = planner(form="七绝", order="B", strict=False).plan(0)
    assert signs(plan) == ["中平中仄中平平", "中仄中平中仄平", "中仄中平中仄仄", "中平中仄中平平"]


def test_order_and_rhyme_can_be_wished() -> None:
    assert {(plan.order.name, plan.rhyme) for plan in plans(form="七绝", order="C", rhyme="七陽")} == {("C", "七阳")}
    assert {plan.rhyme for plan in plans(form="七绝", rhyme="阳")} == {"七阳"}


def test_given_rhyme_words_leave_orders_and_rhymes_open_that_they_suit() -> None:
    found = plans(mode="acrostic", tails="月山夜间", form="五绝")
    assert {plan.order.name for plan in found} == {"A", "D"}  # whose first line does not rhyme
    assert {plan.rhyme for plan in found} == {"十五删"}
    counts = Counter(plan.order.name for plan in plans(200, mode="acrostic", tails="关山夜间", form="七绝"))
    assert counts["B"] + counts["C"] > 180  # whose first line rhymes


def test_oblique_rhymes_are_planned(song: str) -> None:
    found = plans(form=song)
    assert {plan.order.rhyme_tone for plan in found} == {"oblique"}
    assert len({plan.rhyme for plan in found}) > 10
    assert all(any(plan.rhyme in BOOK.rhymes(one, "oblique") for one in KNOWN) for plan in found)
    assert {plan.rhyme for plan in plans(form=song, rhyme="二十五有")} == {"二十五有"}
    with pytest.raises(PoemError, match="no oblique class '七阳'"):
        planner(form=song, rhyme="七阳")


def test_a_line_of_one_character_begins_and_ends_with_it(song: str) -> None:
    found = planner(mode="acrostic", form=song, text="酒明月", tails="酒友柳")
    assert found.given[0, 0] == "酒"
    with pytest.raises(PoemError, match="line 1 of 小令 is one character, not 酒 and 口"):
        planner(mode="acrostic", form=song, text="酒明月", tails="口友柳")


def test_free_poems_rhyme_in_either_tone() -> None:
    assert {plan.order.rhyme_tone for plan in plans(form="free")} == {"level", "oblique"}
    assert {plan.order.rhyme_tone for plan in plans(form="free", order="oblique")} == {"oblique"}
    assert {plan.rhyme for plan in plans(mode="acrostic", tails="春酒夏柳", form="free")} == {"二十五有"}
    assert {plan.rhyme for plan in plans(form="free", rhyme="二十五有")} == {"二十五有"}


def test_given_characters_make_orders_likely_that_they_suit() -> None:
    # The opening of an order D; 床 is level where D has 中.
    counts = Counter(plan.order.name for plan in plans(200, mode="continue", text="白日依山尽", form="五绝"))
    assert counts["D"] > 180


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"mode": "acrostic", "tails": "山月花光"}, "line 2 ends in 月, which is no level rhyme"),
        ({"mode": "acrostic", "tails": "山花月光"}, r"line 4 ends in 光 \(七阳\), which does not rhyme with 花"),
        ({"mode": "acrostic", "tails": "山花月花"}, "花花: a rhyme word may come only once"),
        ({"mode": "acrostic", "tails": "山花月家", "rhyme": "七阳"}, "rhyme 七阳: what is given rhymes in 六麻"),
        ({"rhyme": "十三员"}, r"rhyme: no level class '十三员'; did you mean '十三.'\? \(there are: "),
        ({"form": "七绝", "order": "E"}, r"七绝 has no order 'E' of lines \(known: A, B, C, D\)"),
        ({"mode": "acrostic", "tails": "酒山", "form": "free"}, "no level rhyme.*; .*no oblique rhyme"),
        ({"title": "moon"}, "title: 'm' is not a Chinese character"),
    ],
)
def test_wishes_that_no_poem_can_meet_say_why(wish: dict[str, Any], message: str) -> None:
    with pytest.raises(PoemError, match=message):
        planner(**wish)


@pytest.mark.parametrize("wish", [{"book": "guangyun"}, {"form": "七决"}, {"licences": ("三四互抱",)}])
def test_unknown_names_are_told_at_once(wish: dict[str, Any]) -> None:
    with pytest.raises(UnknownNameError, match="known"):
        planner(**wish)


def test_a_rhyme_of_which_the_poet_knows_too_little_is_refused() -> None:
    few = frozenset("阳光人山月夜去来")
    with pytest.raises(PoemError, match="4 lines rhyme, and the poet knows fewer characters of 七阳: take another"):
        Planner(PoemRequest(form="七律", rhyme="七阳", order="A"), few)
    with pytest.raises(PoemError, match="fewer characters of any one class"):
        Planner(PoemRequest(form="七律"), few)


def test_licences_are_made_use_of_here_and_there() -> None:
    found = plans(form="七绝", order="A", licences=("三四互换", "孤平自救"))
    used = {plan.order.patterns for plan in found}
    assert len(used) == 4  # of line 1, of line 4, of both, of none
    assert plans(form="七绝", order="A")[0].order.patterns == FORMS.get("七绝").order("A").patterns


def test_a_licence_is_taken_where_what_is_given_calls_for_it_and_left_where_it_would_break_it() -> None:
    # 平平仄平仄: level third, oblique fourth from the left.
    text = "秋风夜来月"
    assert check(["秋风夜来月", "中", "中", "中"]).tones[0][:5] == "平平仄平仄"
    found = plans(mode="continue", text=text, form="五绝", order="A", licences=("三四互换",))
    assert {plan.order.patterns[0] for plan in found} == {"平平仄平仄"}
    found = plans(mode="continue", text="秋风来夜月", form="五绝", order="A", licences=("三四互换",))
    assert {plan.order.patterns[0] for plan in found} == {"中平平仄仄"}


def test_a_title_is_told_as_far_as_it_is_known() -> None:
    found = Planner(PoemRequest(title="登樓·其一", form="五绝"), KNOWN - {"楼", "樓"})
    assert found.prompt == ["[CLS]", "[五绝]", "登", "其", "一", "[SEP]"]
    assert found.notes == ("title: the poet does not know 楼, and leaves it out",)
    assert planner(title="登楼").notes == ()
