"""Where a text may be cut so that the ids of the parts, one after the other, are the ids of the text."""

from __future__ import annotations

import functools
import json
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import AddedToken

from plm.tokenizers.tokenizer import Tokenizer
from plm.tokenizers.wordpiece import build_wordpiece

# What a character is to the words around it.
INSIDE = -1  # a part of a word
SPACE = -2  # stands between words and has no ids
ALONE = -3  # a word by itself, once `Cuts.alone` has said so
ODD = -4  # cuts words here and not there, or decides about others: its line must be encoded as a whole

_IDEOGRAPHS = (
    *((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F)),
    *((0x2B740, 0x2B81F), (0x2B820, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F)),
)
_SPACES = [character for character in map(chr, range(0x3001)) if character.isspace()]  # all that str.split cuts at


@dataclass(frozen=True, eq=False)
class Cuts:
    """The cuts of one tokenizer.

    kinds: (0x110000,) int8, for each code point INSIDE, SPACE, ALONE or ODD. The characters that str.split cuts at
        are all SPACE or ODD.
    alone: for characters that are ALONE in `kinds`, True for those that are words by themselves beside any others; the
        rest is INSIDE.
    literals: finds what makes a line ODD beside its characters; None when nothing does.
    mark: a word whose id should appear in no other word, to tell the ids of many words in one text apart.
    """

    kinds: NDArray[np.int8]
    alone: Callable[[Sequence[str]], list[bool]]
    literals: re.Pattern[str] | None
    mark: str


def read_cuts(tokenizer: Tokenizer) -> Cuts | None:
    """The cuts of a tokenizer as it is now; None when it is of a kind of which nothing is known."""
    state = json.loads(tokenizer.backend.to_str())
    model = state["model"]
    if model["type"] not in ("WordPiece", "BPE") or model.get("dropout"):
        return None
    if tokenizer.openai_words:
        return _openai_cuts(tokenizer, state)
    return _bert_cuts(tokenizer) if _is_of_bert(state) else None


def _bert_cuts(tokenizer: Tokenizer) -> Cuts | None:
    """Words end at white space, at punctuation and, if the normalizer says so, at ideographs.

    Cleaning, accents and case are matters of single characters: the marks that canonical order moves stay within a
    word, since what cuts is no mark. So nothing reaches over a cut; which characters do cut, the tokenizer is asked.
    """

    def words(text: str) -> list[str]:
        normal = tokenizer.backend.normalizer.normalize_str(text)
        return [word for word, _ in tokenizer.backend.pre_tokenizer.pre_tokenize_str(normal)]

    def alone(characters: Sequence[str]) -> list[bool]:
        found = words("x".join(["", *characters, ""]))
        if len(found) == 2 * len(characters) + 1 and set(found[0::2]) == {"x"}:
            return [True] * len(characters)
        return [False] if len(characters) == 1 else [alone(character) == [True] for character in characters]

    active = _active_tokens(tokenizer)
    if not all(_is_within_words(token, tokenizer) for token in active if token.normalized):
        return None
    kinds = _kinds({space: SPACE if words(f"x{space}y") == ["x", "y"] else ODD for space in _SPACES})
    kinds[_punctuation()] = ALONE
    for first, last in _IDEOGRAPHS:
        kinds[first : last + 1] = ALONE
    literals = [re.escape(token.content) for token in active if not token.normalized]
    return Cuts(kinds, alone, re.compile("|".join(literals)) if literals else None, mark=",")


def _openai_cuts(tokenizer: Tokenizer, state: dict[str, Any]) -> Cuts | None:
    """Words end at white space alone.

    Of what `openai_text` does, three things look further than the next space: entities ("&lt;", after a fullwidth "＆"
    too) stay when "<" stands before them; line breaks become words; literals and ftfy read the whole text. Everything
    else replaces, composes or sets apart characters within a word, or makes one space of many.
    """
    rewriting = tokenizer.openai_words
    assert rewriting is not None
    if rewriting.ftfy or rewriting.literals or state["normalizer"] or (state["pre_tokenizer"] or {})["type"] != "Split":
        return None
    spaces = {space: SPACE if rewriting.rewrite(f"x{space}y") == "x y" else ODD for space in _SPACES}
    kinds = _kinds({**spaces, "&": ODD, "＆": ODD})
    return Cuts(kinds, lambda characters: [False] * len(characters), None, mark="\n")


def _kinds(known: dict[str, int]) -> NDArray[np.int8]:
    kinds = np.full(0x110000, INSIDE, dtype=np.int8)
    kinds[0xD800:0xE000] = ODD  # halves of surrogate pairs, which the tokenizer refuses or mends
    for character, kind in known.items():
        kinds[ord(character)] = kind
    return kinds


@functools.cache
def _punctuation() -> list[int]:
    """Code points that BERT takes for punctuation; what Python's tables do not know yet is missing, and may be."""
    symbols = [ord(symbol) for symbol in "$+<=>^`|~"]
    return symbols + [point for point in range(0x20000) if unicodedata.category(chr(point))[0] == "P"]


def _is_of_bert(state: dict[str, Any]) -> bool:
    """True for the words of BERT after its normalizer, alone or beside the cleaning of this package."""
    cleaning, _ = json.loads(build_wordpiece({"[UNK]": 0}, lower_case=True).to_str())["normalizer"]["normalizers"]
    normalizer = state["normalizer"] or {"type": "none"}
    rest = [part["type"] for part in normalizer.get("normalizers", [normalizer]) if part != cleaning]
    return rest == ["BertNormalizer"] and (state["pre_tokenizer"] or {}).get("type") == "BertPreTokenizer"


def _active_tokens(tokenizer: Tokenizer) -> list[AddedToken]:
    """The added tokens that are looked for in a text."""
    added = tokenizer.backend.get_added_tokens_decoder().values()
    return [token for token in added if tokenizer.parse_special_tokens or not token.special]


def _is_within_words(token: AddedToken, tokenizer: Tokenizer) -> bool:
    """True for a token, looked for in the cleaned text, that no cut divides; `single_word` looks beyond cuts."""
    return tokenizer.backend.normalizer.normalize_str(token.content).isalnum() and not token.single_word
