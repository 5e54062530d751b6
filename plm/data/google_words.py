"""Answers as Google's `run_squad.py` learns and writes them: by words between spaces, with what was cut off guessed.

Only for results that must equal Google's. The places of tokens in the text, which Google's code did not have, say the
same more directly, and are right where this guesses: at words that occur twice, spaces, ligatures and control signs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plm.errors import ConfigError
from plm.tokenizers import Tokenizer

_WORD = re.compile("[^ \t\r\n\u202f]+")  # what its reader of SQuAD takes for spaces, fewer than its tokenizer


@dataclass(frozen=True, slots=True, eq=False)
class GoogleWords:
    """A context as words between spaces, and as tokens.

    words: as they are. starts: (words,), their first characters. plain: each in the form that WordPiece gets, split at
        punctuation, with single spaces.
    tokens: of the whole context. word_of: (tokens,), the word of each.
    """

    words: list[str]
    starts: NDArray[np.int32]
    plain: list[str]
    tokens: list[str]
    word_of: NDArray[np.int32]

    def text(self, first: int, last: int) -> str:
        """The text of the tokens [first, last]: found again in the words that they are from, or those words whole."""
        words = slice(int(self.word_of[first]), int(self.word_of[last]) + 1)
        original = " ".join(self.words[words])
        plain = " ".join(filter(None, self.plain[words]))
        wanted = " ".join(" ".join(self.tokens[first : last + 1]).replace(" ##", "").replace("##", "").split())
        place = plain.find(wanted)
        visible = [place for place, character in enumerate(original) if character != " "]
        if place < 0 or not wanted or len(visible) != len(plain) - plain.count(" "):
            return original
        begin = place - plain.count(" ", 0, place)
        return original[visible[begin] : visible[begin + len(wanted) - wanted.count(" ") - 1] + 1]

    def covering(self, start: int, end: int, answer: list[str]) -> tuple[int, int] | None:
        """The first and last token to learn an answer from, [start, end) in characters; None when there is none.

        answer: its tokens. They are looked for in the words that the answer touches; failing that, all tokens of these
        words are taken.
        """
        words = np.searchsorted(self.starts, [start, end - 1], side="right") - 1
        first, after = np.searchsorted(self.word_of, words + np.array([0, 1])).tolist()
        for place in range(first, after - len(answer) + 1):
            if answer and self.tokens[place : place + len(answer)] == answer:
                return place, place + len(answer) - 1
        return (first, after - 1) if first < after else None


class GoogleWriter:
    """Makes GoogleWords, and remembers the plain form of every word."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        """Raises ConfigError for a tokenizer other than WordPiece, which Google's code does not know."""
        if not tokenizer.is_wordpiece:
            raise ConfigError('answers in Google\'s style need a WordPiece tokenizer; take the style "exact"')
        self._backend = tokenizer.backend
        self._plain: dict[str, str] = {}

    def words(self, text: str, tokens: list[str], spans: NDArray[np.int32]) -> GoogleWords:
        """The words of a context. tokens: of WordPiece. spans: (tokens, 2), their characters."""
        matches = list(_WORD.finditer(text))
        starts = np.array([match.start() for match in matches], dtype=np.int32)
        words = [match.group() for match in matches]
        word_of = np.searchsorted(starts, spans[:, 0], side="right").astype(np.int32) - np.int32(1)
        return GoogleWords(words, starts, [self._plain_form(word) for word in words], tokens, word_of)

    def _plain_form(self, word: str) -> str:
        if word not in self._plain:
            normalized = self._backend.normalizer.normalize_str(word)
            pieces = self._backend.pre_tokenizer.pre_tokenize_str(normalized)
            self._plain[word] = " ".join(piece for piece, _ in pieces)
        return self._plain[word]
