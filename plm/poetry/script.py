"""Simplified and traditional characters, one by one, with the tables of OpenCC.

Most characters have one counterpart, some have several: simplified 发 is traditional 發 (to send) or 髮 (hair), and
traditional 乾 is simplified 干 (dry) or 乾 (heaven). A table without phrases cannot tell which is meant. The first
counterpart, the commonest, is taken; `counterparts` gives them all. Going to simplified is nearly exact; going to
traditional gets some characters of a poem wrong (后 as queen, 里 as mile, 云 as to say), so keep the
original where you have it.
"""

from __future__ import annotations

from functools import cache
from typing import Literal

from plm.poetry.tables import read_rows

Script = Literal["simplified", "traditional"]


@cache
def table(script: Script) -> dict[str, str]:
    """Character to its counterparts in `script`, commonest first. Characters that are the same in both are left out."""
    return dict(read_rows(f"to_{script}.tsv"))


@cache
def _first(script: Script) -> dict[int, str]:
    return {ord(character): counterparts[0] for character, counterparts in table(script).items()}


def counterparts(character: str, script: Script) -> tuple[str, ...]:
    """Everything that `character` may be in `script`, commonest first; the character itself when it is the same.

    >>> counterparts("发", "traditional")
    ('發', '髮')
    """
    return tuple(table(script).get(character, character))


def to_simplified(text: str) -> str:
    """`text` with every traditional character replaced by its commonest simplified one; the length stays.

    >>> to_simplified("黃河入海流")
    '黄河入海流'
    """
    return text.translate(_first("simplified"))


def to_traditional(text: str) -> str:
    """`text` with every simplified character replaced by its commonest traditional one; the length stays."""
    return text.translate(_first("traditional"))
