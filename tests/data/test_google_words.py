"""Answers in the words of Google's code: pieces joined, found again in the text, with its guesses where it guesses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from plm.data.features.question_answering import encode_questions
from plm.data.google_words import GoogleWords, GoogleWriter
from plm.data.squad import Question
from plm.errors import ConfigError
from plm.tokenizers import load_tokenizer
from tests.reading import uncased
from tests.tiny_folders import WORDS, bpe_files

UNCASED = uncased()


def words(context: str) -> GoogleWords:
    (window,) = encode_questions(
        [Question("q", "why", context)],
        UNCASED,
        max_length=512,
        doc_stride=128,
        max_query_length=8,
        has_labels=False,
        google=True,
    )
    assert window.google is not None
    return window.google


def said(context: str, *tokens: str) -> str:
    """What Google's code answers for these neighbouring tokens."""
    google = words(context)
    (first,) = (
        place for place in range(len(google.tokens)) if google.tokens[place : place + len(tokens)] == list(tokens)
    )
    return google.text(first, first + len(tokens) - 1)


@pytest.mark.parametrize(
    ("context", "tokens", "text"),
    [
        ("Steve Smith's house", ("steve", "smith"), "Steve Smith"),  # the example in its own comments
        ("The cost was $25.4 billion.", ("25", ".", "4", "billion"), "25.4 billion"),
        ("the Old  Mill", ("old", "mill"), "Old Mill"),  # two spaces become one
        ("in Zürich, 1812", ("zurich",), "Zürich"),  # accents come back
        ("a naïve-art fair", ("-", "art", "fair"), "-art fair"),
        ("an unaffable man", ("una", "##ffa", "##ble"), "unaffable"),
        ("an unaffable man", ("##ffa", "##ble"), "ffable"),
    ],
)
def test_the_text_of_tokens_is_found_in_their_words(context: str, tokens: tuple[str, ...], text: str) -> None:
    assert said(context, *tokens) == text


def test_words_end_at_the_spaces_of_the_reader_only() -> None:
    google = words("one\u202ftwo\u00a0three\tfour")
    assert google.words == ["one", "two\u00a0three", "four"]
    assert google.starts.tolist() == [0, 4, 14]
    assert google.word_of.tolist() == [0, 1, 1, 2]


def test_whole_words_are_said_where_the_pieces_cannot_be_found_again() -> None:
    # ﬁ is one character of the text and two of its token, so the lengths do not agree
    google = words("the ﬁne-art fair")
    art = google.tokens.index("art")
    assert google.text(art, art) in ("art", "ﬁne-art")
    unknown = words("see \U0001f642\U0001f643x here")
    assert unknown.text(1, 1) == "\U0001f642\U0001f643x"


def test_labels_shrink_to_the_tokens_of_the_answer() -> None:
    google = words("led by NASA (1961-1972), landed")
    first, last = google.covering(13, 17, ["1961"]) or (0, 0)
    assert google.tokens[first : last + 1] == ["1961"]


def test_labels_are_whole_words_where_the_answer_has_other_tokens() -> None:
    google = words("many Japaneselike things")
    found = google.covering(5, 10, UNCASED.tokenize("Japan"))
    assert found is not None
    assert {int(google.word_of[place]) for place in range(found[0], found[1] + 1)} == {1}


def test_tokenizers_other_than_wordpiece_are_refused(tmp_path: Path) -> None:
    for name, content in bpe_files(WORDS).items():
        (tmp_path / name).write_text(content)
    with pytest.raises(ConfigError, match='take the style "exact"'):
        GoogleWriter(load_tokenizer(tmp_path))


def test_the_words_of_a_text_do_not_depend_on_what_was_seen_before() -> None:
    writer = GoogleWriter(UNCASED)
    spans = np.array([[0, 3], [4, 7]], dtype=np.int32)
    first = writer.words("Old Old", ["old", "old"], spans)
    second = writer.words("Old Old", ["old", "old"], spans)
    assert first.plain == second.plain == ["old", "old"]
