"""The tokens of a model of poems: the characters that its poems use often enough, forms, marks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from plm.poetry.cleaning import COMMA, STOP, Poem
from plm.poetry.prompt import CLS, FORM_TOKENS, MASK, PAD, SEP, UNK

SPECIAL_TOKENS = (PAD, UNK, CLS, SEP, MASK)
"""The first ids, 0 to 4."""


def frequent_characters(poems: Iterable[Poem], *, min_count: int) -> str:
    """Characters of poems and titles, without marks, that come min_count times or more; the most frequent first."""
    counts: Counter[str] = Counter()
    for poem in poems:
        counts.update(poem.title)
        counts.update(poem.body)
    often = [(-count, character) for character, count in counts.items() if count >= min_count]
    return "".join(character for _, character in sorted(often) if character not in (COMMA, STOP))


def poem_tokens(characters: str) -> list[str]:
    """All tokens in the order of their ids: special ones, forms, marks, characters."""
    return [*SPECIAL_TOKENS, *FORM_TOKENS.values(), COMMA, STOP, *characters]
