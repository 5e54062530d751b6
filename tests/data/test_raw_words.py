"""Raw text falls into the words that annotators of corpora have cut, and each knows its place."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plm.data.raw_words import split_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Angela Merkel lives in Berlin.", "Angela Merkel lives in Berlin ."),
        ('(He said: "no!")', '( He said : " no ! " )'),
        ("the U.S. and the E.U., J. Smith", "the U.S. and the E.U. , J . Smith"),
        ("Bush's dog, the dogs' bone, I'll", "Bush 's dog , the dogs ' bone , I 'll"),
        ("3,000 at 12:30 on 1996-08-22 cost 5.5%", "3,000 at 12:30 on 1996-08-22 cost 5.5 %"),
        ("AT&T, G-7 and l'art", "AT&T , G-7 and l'art"),
        ("O'Brien's and O'Sullivan", "O'Brien 's and O'Sullivan"),
        ("café naïve Zürich", "café naïve Zürich"),
        ("我在New York，3.5元。", "我 在 New York ， 3.5 元 。"),
        ("東京タワー", "東 京 タ ワ ー"),
    ],
)
def test_words_are_those_of_corpora(text: str, words: str) -> None:
    found = split_words(text)
    assert found is not None
    assert " ".join(found.words) == words


def test_where_nothing_stands_between_words_each_character_is_one() -> None:
    found = split_words("1998年 OK", joiner="")
    assert found is not None
    assert (found.words, found.starts) == (tuple("1998年OK"), (0, 1, 2, 3, 4, 6, 7))


@pytest.mark.parametrize("text", ["", " ", "\n\t\u3000"])
def test_blank_texts_have_no_words(text: str) -> None:
    assert split_words(text) is None
    assert split_words(text, joiner="") is None


@settings(deadline=None, max_examples=100)
@given(st.text(alphabet=st.characters() | st.sampled_from(" .,'’-sU.AT&月")), st.sampled_from(["", " "]))
def test_no_character_is_lost_and_every_word_stands_where_it_says(text: str, joiner: str) -> None:
    found = split_words(text, joiner=joiner)
    pieces = [] if found is None else zip(found.words, found.starts, strict=True)
    left = list(text)
    for word, start in pieces:
        assert text[start : start + len(word)] == word
        left[start : start + len(word)] = " " * len(word)
    assert not "".join(left).strip()
