"""What a wish gives: its form, and characters at their places, however they were typed."""

from __future__ import annotations

from typing import Any

import pytest

from plm.errors import PoemError, UnknownNameError
from plm.poetry.given import familiar, free_form, read_given
from plm.poetry.request import PoemRequest

KNOWN = frozenset("床前明月光疑是地上霜举头望低思故乡白日依山尽黄河入海流人工智能春夏秋冬乾坤头发干花家")


def given(text: str, mode: str = "continue", **wish: Any) -> Any:
    return read_given(PoemRequest(mode=mode, text=text, **wish), KNOWN)  # type: ignore[arg-type]


def laid(found: Any) -> list[str]:
    """The given characters, line by line."""
    lines = [""] * len(found.form.lengths)
    for (line, _), one in sorted(found.characters.items()):
        lines[line] += one
    return [line for line in lines if line]


@pytest.mark.parametrize(
    ("text", "form", "lines"),
    [
        ("床前", "五绝", ["床前"]),
        ("床前明月光", "五绝", ["床前明月光"]),
        ("床前明月光疑", "七绝", ["床前明月光疑"]),
        ("床前明月光，疑是", "五绝", ["床前明月光", "疑是"]),
        ("床前明月光,疑是地上霜.", "五绝", ["床前明月光", "疑是地上霜"]),
        ("「床前明月光」\n疑是\n", "五绝", ["床前明月光", "疑是"]),
        ("床前明月光疑是地上霜", "五绝", ["床前明月光", "疑是地上霜"]),
        ("床前明月光疑是地上霜举头望明", "七绝", ["床前明月光疑是", "地上霜举头望明"]),
        (
            "床前明月光，疑是地上霜。举头望明月，低头思故乡。",
            "五律",
            ["床前明月光", "疑是地上霜", "举头望明月", "低头思故乡"],
        ),
        ("床前明月光疑是地上霜举头望明月低头思故乡白", "五律", None),
        ("床前明月，", "古", ["床前明月"]),
        ("床前明月，疑是", "古", ["床前明月", "疑是"]),
    ],
)
def test_a_text_is_laid_over_the_form_that_it_suggests(text: str, form: str, lines: list[str] | None) -> None:
    if lines is None:  # 21 characters are three lines of seven as well
        form, lines = "七绝", ["床前明月光疑是", "地上霜举头望明", "月低头思故乡白"]
    found = given(text)
    assert found.form.name == form
    assert laid(found) == lines


@pytest.mark.parametrize(
    ("wish", "form", "lengths"),
    [
        ({"text": "人工智能"}, "七绝", (7,) * 4),
        ({"text": "人工智能", "line_length": 5}, "五绝", (5,) * 4),
        ({"text": "春夏秋冬人工智能"}, "七律", (7,) * 8),
        ({"text": "人，工，智"}, "古", (7,) * 3),
        ({"tails": "花家", "line_length": 5}, "古", (5,) * 2),
    ],
)
def test_an_acrostic_has_a_line_for_each_character(wish: dict[str, Any], form: str, lengths: tuple[int, ...]) -> None:
    found = read_given(PoemRequest(mode="acrostic", **wish), KNOWN)
    assert (found.form.name, found.form.lengths) == (form, lengths)


def test_heads_and_tails_stand_at_both_ends_of_their_lines() -> None:
    found = given("人人智能", "acrostic", tails="花家月光", form="五绝")
    assert found.characters == {
        **{(line, 0): one for line, one in enumerate("人人智能")},
        **{(line, 4): one for line, one in enumerate("花家月光")},
    }


def test_traditional_characters_are_read_and_remembered_as_typed() -> None:
    found = given("頭髮光", form="五绝")
    assert laid(found) == ["头发光"]
    assert found.typed == {(0, 0): "頭", (0, 1): "髮"}


def test_what_is_simplified_already_stays() -> None:
    assert familiar("乾坤頭", KNOWN) == "乾坤头"
    assert familiar("乾", frozenset("干")) == "干"
    assert familiar("證證", frozenset("證")) == "證證"  # a poet of traditional poems


@pytest.mark.parametrize(
    ("text", "wish", "message"),
    [
        ("moon", {}, "text: 'm' is not a Chinese character"),
        ("，。", {}, "text: '，。' has no Chinese character"),
        ("床前明，疑是地上霜", {"form": "五绝"}, r"line 1 of 五绝 has 5 characters; the text has 床前明 with 3"),
        ("床前明月，疑是地上霜。", {"form": "free"}, "line 2 of 古 has 4 .* a free poem has lines of one length"),
        ("床前明月光，疑是地上霜。举头望明月，低头思故乡。", {"form": "五绝"}, "is a whole 五绝 already"),
        ("床前明月光疑是地上霜举头望明月低头思故乡白日", {"form": "五绝"}, "has 4 lines; the text to go on from has 5"),
        ("龘", {}, "the poet does not know 龘 .*: take another"),
        ("床前", {"form": "五绝", "lines": 5}, "lines: 5 is not that of 五绝"),
        ("床前", {"form": "五绝", "line_length": 7}, "line_length: 7 is not that of 五绝"),
        ("床前", {"form": "free", "line_length": 2}, "lines of 2 characters are not those of a poem"),
        ("床前", {"form": "free", "lines": 1}, "lines: 1 of them are no poem; 2 to 24 are"),
        ("床前", {"form": "free", "lines": 25}, "lines: 25 of them are no poem"),
    ],
)
def test_texts_that_no_poem_goes_on_from_are_refused(text: str, wish: dict[str, Any], message: str) -> None:
    with pytest.raises(PoemError, match=message):
        given(text, **wish)


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"text": "人工", "form": "七绝"}, "七绝 has 4 lines, so an acrostic needs as many characters; got 2"),
        ({"text": "人工智能", "tails": "花家"}, "text begins 4 lines, tails end 2"),
        ({"text": "人"}, "lines: 1 of them are no poem"),
        ({"text": "人工智", "form": "free", "lines": 4}, "4 lines and 3 characters for them; leave out `lines`"),
    ],
)
def test_acrostics_that_do_not_add_up_are_refused(wish: dict[str, Any], message: str) -> None:
    with pytest.raises(PoemError, match=message):
        read_given(PoemRequest(mode="acrostic", **wish), KNOWN)


def test_forms_are_known_by_all_their_names() -> None:
    for name, form in {"qijue": "七绝", "七言絕句": "七绝", "free": "古", "古體": "古"}.items():
        assert read_given(PoemRequest(form=name), KNOWN).form.name == form
    with pytest.raises(UnknownNameError, match="七绝"):
        read_given(PoemRequest(form="七决"), KNOWN)


@pytest.mark.parametrize(
    ("lines", "rhymes"), [(2, (1, 2)), (3, (2, 3)), (4, (2, 4)), (5, (2, 4, 5)), (8, (2, 4, 6, 8))]
)
def test_free_poems_rhyme_where_sentences_end(lines: int, rhymes: tuple[int, ...]) -> None:
    form = free_form(lines=lines, length=5)
    assert [order.rhyme_tone for order in form.orders] == ["level", "oblique"]
    assert {order.rhymes for order in form.orders} == {rhymes}
    assert all(sign == "中" for order in form.orders for pattern in order.patterns for sign in pattern[:-1])
