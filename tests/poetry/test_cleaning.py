"""Poems of a file: what is not a whole poem is dropped and counted, titles are kept, marks are two."""

from __future__ import annotations

import pytest

from plm.poetry.cleaning import DROPPED, clean_poems, clean_title, divide
from tests.shared_data import shared_data

QUATRAIN = "白日依山尽，黄河入海流。欲穷千里目，更上一层楼。"


def dropped(*lines: str, longest: int = 64) -> dict[str, int]:
    return dict(clean_poems(enumerate(lines, 1), longest=longest).dropped)


def test_a_line_is_a_title_and_a_poem() -> None:
    (poem,) = clean_poems([(7, f"登鹳雀楼:{QUATRAIN}")]).poems
    assert (poem.title, poem.body, poem.line) == ("登鹳雀楼", QUATRAIN, 7)
    assert poem.lines == ["白日依山尽", "黄河入海流", "欲穷千里目", "更上一层楼"]


def test_wide_colons_are_colons() -> None:
    assert clean_poems([(1, f"登鹳雀楼：{QUATRAIN}")]) == clean_poems([(1, f"登鹳雀楼:{QUATRAIN}")])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (QUATRAIN, "colon"),
        (f"登:楼:{QUATRAIN}", "colon"),
        ("登鹳雀楼:", "colon"),
        ("登鹳雀楼:白日依山尽，黄□入海流。", "sign"),
        ("登鹳雀楼:白日依山尽（一作近），黄河入海流。", "sign"),
        ("登鹳雀楼:白日依山尽，黄{河}入海流。", "sign"),
        ("登鹳雀楼:white sun", "sign"),
        ("登鹳雀楼:白日依山尽，黄河入海流", "end"),
        ("登鹳雀楼:白日依山尽，黄河入海流，", "end"),
        ("登鹳雀楼:。", "end"),
        ("登鹳雀楼:" + "白日依山尽，" * 10 + "黄河入海流。", "long"),
    ],
)
def test_what_is_no_whole_poem_is_dropped_with_a_reason(line: str, reason: str) -> None:
    assert dropped(line) == {reason: 1}
    assert reason in DROPPED


def test_a_poem_under_another_title_is_a_repetition() -> None:
    assert dropped(f"登鹳雀楼:{QUATRAIN}", f"登楼:{QUATRAIN}", "") == {"repeated": 1}


def test_eight_lines_of_seven_are_not_too_long() -> None:
    body = "朝辞白帝彩云间，千里江陵一日还。" * 4
    assert len(body) == 64
    assert dropped(f"行:{body}") == {}
    assert dropped(f"行:{body}", longest=63) == {"long": 1}


def test_marks_are_two_and_stand_alone() -> None:
    assert divide("题:已焉哉；悲夫！。何时？云 山,远.")[1] == "已焉哉，悲夫。何时。云山，远。"


def test_titles_lose_notes_and_signs() -> None:
    assert clean_title("登楼（一作上楼） 其二·《赋》〖并序〗") == "登楼其二"


def test_the_account_names_what_was_dropped() -> None:
    lines = clean_poems(enumerate([f"登楼:{QUATRAIN}", f"楼:{QUATRAIN}", "?"], 1)).lines()
    assert lines == ["1 poems", f"dropped 1: {DROPPED['colon']}", f"dropped 1: {DROPPED['repeated']}"]


def test_the_tang_poems_are_nearly_all_clean() -> None:
    lines = shared_data("poetry_tang", "poetry.txt").read_text(encoding="utf-8").split("\n")
    cleaned = clean_poems(enumerate(lines, 1))
    assert (len(cleaned.poems), dict(cleaned.dropped)) == (39867, {"end": 1, "long": 1468})
