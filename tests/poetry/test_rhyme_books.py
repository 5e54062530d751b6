"""Rhyme books know tones and rhymes of nearly every character, in either script, and refuse what they do not know."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plm.errors import UnknownNameError
from plm.poetry import Reading, RhymeBook, is_han
from plm.poetry.rhyme_books import read_books, read_readings
from plm.poetry.tables import read_rows
from tests.shared_data import shared_data

PINGSHUI = RhymeBook.named("pingshui")
BOOKS = [RhymeBook.named(name) for name in read_books()]


def test_a_book_is_found_by_every_name_and_read_once() -> None:
    assert RhymeBook.named("平水韵") is RhymeBook.named("平水韻") is PINGSHUI
    with pytest.raises(UnknownNameError, match=r"unknown rhyme book 'pingshu'; did you mean 'pingshui'\?"):
        RhymeBook.named("pingshu")


def test_a_reading_tells_tone_class_and_section() -> None:
    assert PINGSHUI.readings("东") == (Reading("level", "一东", "上平声"),)
    assert PINGSHUI.readings("月") == (Reading("oblique", "六月", "入声"),)
    assert PINGSHUI.readings("A") == ()


def test_the_classical_book_has_106_classes_of_which_30_are_level() -> None:
    readings = read_readings(["pingshui.tsv", "pingshui_additions.tsv"])
    classes = {(reading.tone, reading.rhyme) for found in readings.values() for reading in found}
    assert Counter(tone for tone, _ in classes) == {"level": 30, "oblique": 76}
    assert len({rhyme for _, rhyme in classes}) == 106  # so a name alone tells the class


def test_the_modern_book_has_14_classes_in_both_tones() -> None:
    readings = read_readings(["xinyun.tsv"])
    classes = Counter(reading.tone for reading in {r for found in readings.values() for r in found})
    assert classes == {"level": 14, "oblique": 14}


@pytest.mark.parametrize("character", "长重看中为思教胜")
def test_characters_said_in_two_ways_have_both_tones(character: str) -> None:
    assert PINGSHUI.tones(character) == {"level", "oblique"}


@pytest.mark.parametrize(
    ("character", "rhyme"),
    [
        ("溪", "八齐"),
        ("炉", "七虞"),
        ("樽", "十三元"),
        ("沉", "十二侵"),
        ("惭", "十三覃"),
        ("先", "一先"),
        ("啼", "八齐"),
    ],
)
def test_characters_that_the_source_lacks_are_there(character: str, rhyme: str) -> None:
    assert rhyme in PINGSHUI.rhymes(character)


@pytest.mark.parametrize(("character", "rhyme"), [("讲", "三讲"), ("迹", "十一陌"), ("扫", "十九皓"), ("遍", "十七霰")])
def test_oblique_characters_that_the_source_lacks_are_there(character: str, rhyme: str) -> None:
    assert rhyme in PINGSHUI.rhymes(character, "oblique")
    assert PINGSHUI.rhymes(character) == frozenset()


@pytest.mark.parametrize(
    ("other", "usual"), [("疎", "疏"), ("鴈", "雁"), ("劒", "剑"), ("慙", "惭"), ("還", "还"), ("遶", "绕")]
)
def test_variants_and_traditional_characters_read_like_the_usual_ones(other: str, usual: str) -> None:
    for book in BOOKS:
        assert book.readings(other) == book.readings(usual)


def test_a_traditional_character_of_two_simplified_ones_may_be_read_as_either() -> None:
    assert {"十四寒", "一先"} <= PINGSHUI.rhymes("乾")


def test_old_fourth_tones_are_oblique_although_mandarin_has_them_level() -> None:
    modern = RhymeBook.named("xinyun")
    for character in "白独国学竹":
        assert PINGSHUI.tones(character) == {"oblique"}
        assert modern.tones(character) == {"level"}


def test_allows_joins_tone_and_rhyme_in_one_reading() -> None:
    assert PINGSHUI.allows("山", "level")
    assert not PINGSHUI.allows("山", "oblique")
    assert PINGSHUI.allows("山", "level", "十五删")
    assert not PINGSHUI.allows("山", "level", "七阳")
    # 长 is level as 七阳 and oblique as 二十二养: never level in the oblique class.
    assert PINGSHUI.allows("长", "oblique", "二十二养")
    assert not PINGSHUI.allows("长", "level", "二十二养")


def test_an_unknown_character_stands_only_where_anything_does() -> None:
    assert [PINGSHUI.allows("A", want) for want in ("any", "level", "oblique")] == [True, False, False]
    assert not PINGSHUI.allows("A", "any", "七阳")


@pytest.mark.parametrize("book", BOOKS, ids=lambda book: book.name)
def test_shares_name_level_classes_and_sum_to_one(book: RhymeBook) -> None:
    assert sum(book.level_classes.values()) == pytest.approx(1, abs=0.002)
    readings = read_readings(read_books()[book.name]["tables"])
    level = {reading.rhyme for found in readings.values() for reading in found if reading.tone == "level"}
    assert set(book.level_classes) == level


def test_neighbours_are_classes_of_the_book() -> None:
    groups = [group.split() for group in read_books()["pingshui"]["neighbours"]]
    assert {rhyme for group in groups for rhyme in group} <= set(PINGSHUI.level_classes)
    assert PINGSHUI.are_neighbours("一东", "二冬")
    assert not PINGSHUI.are_neighbours("一东", "七阳")


@pytest.mark.parametrize("table", ["pingshui.tsv", "pingshui_additions.tsv", "xinyun.tsv", "cilin.tsv"])
def test_a_table_lists_each_character_once_in_a_class(table: str) -> None:
    for section, rhyme, characters in read_rows(table):
        assert len(set(characters)) == len(characters), (section, rhyme)
        assert all(map(is_han, characters)), (section, rhyme)


def test_additions_repeat_nothing_and_variants_point_at_known_characters() -> None:
    source = {(section, rhyme): set(characters) for section, rhyme, characters in read_rows("pingshui.tsv")}
    for section, rhyme, characters in read_rows("pingshui_additions.tsv"):
        assert source.get((section, rhyme), set()).isdisjoint(characters)
    readings = read_readings(["pingshui.tsv", "pingshui_additions.tsv"])
    for usual, variants in read_rows("variants.tsv"):
        assert usual in readings, usual
        assert not [variant for variant in variants if variant in readings], usual


@given(st.characters())
@settings(deadline=None, max_examples=200)
def test_any_character_may_be_asked_for(character: str) -> None:
    for book in BOOKS:
        tones = book.tones(character)
        assert {reading.tone for reading in book.readings(character)} == tones
        assert (character in book) == bool(tones)
        assert all(book.allows(character, tone) for tone in tones)


@pytest.mark.parametrize(("name", "least"), [("pingshui", 0.999), ("xinyun", 0.999), ("cilin", 0.985)])
def test_the_books_cover_the_verse_of_the_tang(name: str, least: float) -> None:
    text = shared_data("poetry_tang", "poetry.txt").read_text(encoding="utf-8")
    counts = Counter("".join(line.partition(":")[2] for line in text.split("\n")))
    counts = Counter({character: count for character, count in counts.items() if is_han(character)})
    book = RhymeBook.named(name)
    assert sum(count for character, count in counts.items() if character in book) / counts.total() >= least
