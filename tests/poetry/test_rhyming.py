"""Lines rhyme when one class holds their last characters."""

from __future__ import annotations

from plm.poetry import RhymeBook
from plm.poetry.rhyming import common_classes, commonest, find_rhyme

BOOK = RhymeBook.named("pingshui")


def test_words_of_one_class_rhyme() -> None:
    assert common_classes("间还山", BOOK) == {"十五删"}
    assert common_classes("间来山", BOOK) == frozenset()
    assert common_classes("", BOOK) == frozenset()


def test_the_word_outside_is_named_with_its_own_classes() -> None:
    rhyme = find_rhyme(["一流", "二楼", "三山", "四秋"], (1, 2, 3, 4), BOOK)
    assert rhyme.rhyme_class is None
    assert rhyme.outside == {3: ("十五删",)}


def test_without_two_that_rhyme_every_word_is_outside() -> None:
    rhyme = find_rhyme(["山", "流"], (1, 2), BOOK)
    assert set(rhyme.outside) == {1, 2}


def test_one_line_does_not_rhyme_and_is_not_blamed() -> None:
    rhyme = find_rhyme(["山"], (1,), BOOK)
    assert (rhyme.rhyme_class, rhyme.outside, rhyme.words) == (None, {}, {1: "山"})


def test_the_tone_counts() -> None:
    assert common_classes("长养", BOOK) == frozenset()  # 长 is level in 七阳
    assert common_classes("长养", BOOK, "oblique") == {"二十二养", "二十三漾"}


def test_among_several_classes_the_commonest_is_named() -> None:
    assert commonest(["三江", "七阳"], BOOK) == "七阳"
    assert commonest([], BOOK) is None
