"""Words as nltk splits those of one sentence (`word_tokenize(text, preserve_line=True)`), printed by nltk 3.10."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plm.metrics.treebank import treebank_words

CASES = [
    ("they'll don't can't it's", ["they", "'ll", "do", "n't", "ca", "n't", "it", "'s"]),
    ("\"quoted\" ``text''", ["``", "quoted", "''", "``", "text", "''"]),
    (
        "good muffins cost $3.88 (in new york).",
        ["good", "muffins", "cost", "$", "3.88", "(", "in", "new", "york", ")", "."],
    ),
    ("a.b. u.s. army.", ["a.b.", "u.s.", "army", "."]),
    (
        "cannot gonna gimme lemme wanna gotta d'ye more'n 'tis 'twas",
        [
            "can",
            "not",
            "gon",
            "na",
            "gim",
            "me",
            "lem",
            "me",
            "wan",
            "na",
            "got",
            "ta",
            "d",
            "'ye",
            "more",
            "'n",
            "'",
            "tis",
            "'",
            "twas",
        ],
    ),
    ("3,000 a,b 12:30 a:b", ["3,000", "a", ",", "b", "12:30", "a", ":", "b"]),
    ("wait... what?! yes -- no", ["wait", "...", "what", "?", "!", "yes", "--", "no"]),
    (
        "[a] {b} <c> c++ #1 @x 50% r&d",
        ["[", "a", "]", "{", "b", "}", "<", "c", ">", "c++", "#", "1", "@", "x", "50", "%", "r", "&", "d"],
    ),
    ("‘single’ «guillemets» “double”", ["‘", "single", "’", "«", "guillemets", "»", "“", "double", "”"]),
    ("the dogs' owner's o'clock 'em", ["the", "dogs", "'", "owner", "'s", "o'clock", "'", "em"]),
    ("x – y—z", ["x", "–", "y", "—", "z"]),
    ("", []),
    (".", ["."]),
    ('mr. smith\'s "5.5" items.', ["mr.", "smith", "'s", "``", "5.5", "''", "items", "."]),
    ('e.g., this (that.)"', ["e.g.", ",", "this", "(", "that", ".", ")", "''"]),
    ("rock'n'roll he'd they've i'm", ["rock'n'roll", "he", "'d", "they", "'ve", "i", "'m"]),
    ("ω-force ps4。", ["ω-force", "ps4。"]),
]


@pytest.mark.parametrize(("text", "words"), CASES)
def test_words_are_those_of_nltk(text: str, words: list[str]) -> None:
    assert treebank_words(text) == words


@settings(deadline=None, max_examples=200)
@given(st.text(st.sampled_from("ab'.,!?$%&-() 15:;")))
def test_no_character_is_lost(text: str) -> None:
    found = "".join(treebank_words(text)).replace("``", "''").replace('"', "''")
    assert found == text.replace(" ", "")
