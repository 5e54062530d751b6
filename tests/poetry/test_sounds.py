"""The sounds of real poems: tones that the form tells, ends that rhyme."""

from __future__ import annotations

from plm.poetry.rhyme_books import RhymeBook
from plm.poetry.sounds import rhyming, tones_in

QUATRAIN = "朝辞白帝彩云间，千里江陵一日还。两岸猿声啼不住，轻舟已过万重山。"
BOOK = RhymeBook.named("pingshui")


def test_a_form_tells_which_of_two_tones_a_character_has() -> None:
    told = dict(zip(QUATRAIN, tones_in(QUATRAIN, BOOK), strict=True))
    assert BOOK.tones("重") == BOOK.tones("过") == {"level", "oblique"}
    assert (told["重"], told["过"]) == ({"level"}, {"oblique"})
    assert told["，"] == told["。"] == frozenset()


def test_without_a_form_a_character_keeps_its_tones() -> None:
    body = "两岸猿声啼不住，轻舟已过万重山。"
    assert tones_in(body, BOOK) == [BOOK.tones(sign) for sign in body]


def test_a_tone_that_the_book_does_not_know_is_not_made_up() -> None:
    body = QUATRAIN.replace("还", "月")
    assert tones_in(body, BOOK)[body.index("月")] == {"oblique"}


def test_ends_that_share_a_class_rhyme_and_the_first_line_may() -> None:
    assert [QUATRAIN[place] for place in rhyming(QUATRAIN, BOOK)] == ["间", "还", "山"]
    unlike_first = QUATRAIN.replace("间", "里")
    assert [unlike_first[place] for place in rhyming(unlike_first, BOOK)] == ["还", "山"]


def test_nothing_rhymes_where_one_end_does_not_or_stands_alone() -> None:
    assert rhyming(QUATRAIN.replace("山。", "月。"), BOOK) == []
    assert rhyming("白日依山尽，黄河入海流。", BOOK) == []
