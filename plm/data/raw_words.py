"""Raw text to words as tagged corpora have them: punctuation stands alone, and so does every Chinese character."""

from __future__ import annotations

import re

from plm.data.conll import TaggedText

# One character of a word that is written together. Chinese characters and kana are words themselves.
_LETTER = r"[^\W_\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"

_WORD = re.compile(
    rf"""
    {_LETTER}(?:\.{_LETTER})+\.         # U.S.
  | '(?:s|d|m|ll|re|ve)(?!{_LETTER})    # of Bush's: corpora give it a word of its own
  | {_LETTER}+(?:                       # and what may stand inside of a word: 3,000, G-7, AT&T, l'art, but not the 's
        (?!'(?:s|d|m|ll|re|ve)(?!{_LETTER}))[.,:/&'’_-]{_LETTER}+
    )*
  | \S                                  # anything else, one character at a time
    """,
    re.VERBOSE | re.IGNORECASE,
)

_CHARACTER = re.compile(r"\S")


def split_words(text: str, *, joiner: str = " ", name: str = "1") -> TaggedText | None:
    """A text with its words and their places, untagged; None for one without words.

    joiner: what stood between the words that a model learned from; with "" every character is a word, as in Chinese
    corpora. name: what the sentence is called.

    >>> split_words("Bush's U.S. visit.").words
    ('Bush', "'s", 'U.S.', 'visit', '.')
    >>> split_words("在New York，3.5").words
    ('在', 'New', 'York', '，', '3.5')
    """
    found = list((_WORD if joiner else _CHARACTER).finditer(text))
    if not found:
        return None
    words, starts = tuple(match.group() for match in found), tuple(match.start() for match in found)
    return TaggedText(id=name, words=words, tags=None, line=1, text=text, starts=starts)
