"""Figures over many poems agree with counting by hand and with what is known of Tang verse."""

from __future__ import annotations

import random

import pytest

from plm.poetry.survey import survey
from tests.shared_data import shared_data

GOOD = "白日依山尽，黄河入海流。欲穷千里目，更上一层楼。"
OLD_STYLE = "床前明月光，疑是地上霜。举头望明月，低头思故乡。"
OBLIQUE_RHYME = "春眠不觉晓，处处闻啼鸟。夜来风雨声，花落知多少。"
FREE = "前不见古人，后不见来者。念天地之悠悠，独怆然而涕下。"


def test_figures_are_counted_by_form() -> None:
    found = survey([GOOD, OLD_STYLE, OBLIQUE_RHYME, GOOD.replace("河", "\u4dff"), FREE])
    row = found.rows["五绝"]
    assert (row.poems, found.others) == (4, 1)
    assert (row.rhyme, row.exact, row.both, row.repeats, row.unknown) == (0.75, 0.5, 0.5, 0.5, 0.25)
    assert row.orders == {"D": 1.0}
    assert found.rhymes == {"十一尤": pytest.approx(2 / 3), "七阳": pytest.approx(1 / 3)}


def test_no_poems_make_no_rows() -> None:
    found = survey([])
    assert (found.rows, found.others, found.rhymes) == ({}, 0, {})


def test_the_table_has_a_line_for_each_form() -> None:
    lines = str(survey([GOOD, FREE])).split("\n")
    assert lines[0].split()[:3] == ["form", "poems", "rhyme"]
    assert lines[1].split()[:3] == ["五绝", "1", "1.000"]
    assert lines[-1] == "poems of other shapes: 1"


# Measured over the complete Tang poems with another table of tones, that lacks 1.25 % of the characters; a rhyme word
# that it lacks is no rhyme, so the shares of rhyming poems are a little higher here.
KNOWN = {"五绝": (0.753, 0.337), "七绝": (0.917, 0.627), "五律": (0.851, 0.324), "七律": (0.877, 0.569)}


def test_tang_poems_rhyme_and_fit_as_often_as_is_known() -> None:
    text = shared_data("poetry_tang", "poetry.txt").read_text(encoding="utf-8")
    lines = random.Random(0).sample(text.split("\n")[:-1], 2500)
    found = survey(line.partition(":")[2] for line in lines)
    for form, (rhyme, exact) in KNOWN.items():
        row = found.rows[form]
        assert rhyme - 0.03 <= row.rhyme <= rhyme + 0.09
        assert row.exact == pytest.approx(exact, abs=0.06)
