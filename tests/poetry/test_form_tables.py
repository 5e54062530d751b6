"""Forms are found by every name, and a new one is a table and a line of code."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from plm.errors import ConfigError, UnknownNameError
from plm.poetry import FORMS, Form, check, find_form, form_from_dict, form_of

YI_JIANGNAN = {
    "name": "忆江南",
    "aliases": ["望江南"],
    "orders": {
        "正体": {
            "lines": ["平中仄", "中仄仄平平", "中仄中平平仄仄", "中平中仄仄平平", "中仄仄平平"],
            "rhymes": [2, 4, 5],
        }
    },
}
BAI_JUYI = "江南好，风景旧曾谙。日出江花红胜火，春来江水绿如蓝。能不忆江南？"


@pytest.fixture
def song() -> Iterator[Form]:
    yield FORMS.add("忆江南", form_from_dict(YI_JIANGNAN))
    FORMS.remove("忆江南")


@pytest.mark.parametrize("name", ["七绝", "七絕", "七言绝句", "七言絕句", "qijue"])
def test_a_form_is_found_in_both_scripts_and_in_latin_letters(name: str) -> None:
    assert find_form(name) is FORMS.get("七绝")


def test_an_unknown_form_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown verse form '八绝'.*'五绝', '七绝', '五律', '七律'"):
        find_form("八绝")


def test_shape_tells_the_form() -> None:
    found = {name: form_of(["山" * length] * lines) for name, length, lines in [("五绝", 5, 4), ("七律", 7, 8)]}
    assert {name: form.name if form else None for name, form in found.items()} == {"五绝": "五绝", "七律": "七律"}
    assert form_of(["山山山山"] * 4) is None


def test_a_song_with_lines_of_unequal_length_is_one_table(song: Form) -> None:
    report = check(BAI_JUYI)
    assert song.lengths == (3, 5, 7, 7, 5)
    assert (report.form, report.order, report.ok) == ("忆江南", "正体", True)
    assert (report.rhyme_class, report.rhyme_words) == ("十三覃", ("谙", "蓝", "南"))
    assert find_form("望江南") is song


def test_a_song_with_oblique_rhymes_is_judged_by_oblique_classes() -> None:
    table = {"name": "x", "orders": {"x": {"lines": ["中中中仄", "中中中仄"], "rhymes": [1, 2]}}}
    report = check("江山如画，高楼夜话。", form_from_dict(table), book="cilin")
    assert (report.ok, report.rhyme_class) == (True, "第十部")


def test_types_of_line_need_a_length_that_they_know() -> None:
    with pytest.raises(ConfigError, match="T0 is for lines of 5 or 7, line_length is 6"):
        form_from_dict({"name": "x", "line_length": 6, "orders": {"x": {"lines": ["T0", "T1"], "rhymes": [2]}}})


def test_types_and_patterns_may_stand_in_one_form() -> None:
    table = {"name": "x", "line_length": 7, "orders": {"x": {"lines": ["T1", "平仄仄", "仄平平"], "rhymes": [1, 3]}}}
    assert form_from_dict(table).lengths == (7, 3, 3)
