"""Level and oblique: the two tones that verse counts, and the signs by which patterns are written.

Classical Chinese had four tones. Verse puts them into two boxes: *level* (平, the first of the four) and *oblique* (仄,
the other three). A pattern is a string of signs, one for each character of a line: 平 wants a level tone, 仄 an oblique
one, 中 takes either.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Final, Literal

from plm.errors import ConfigError

Tone = Literal["level", "oblique"]
Want = Literal["any", "level", "oblique"]
"""What a place of a poem asks for; "any" takes either tone."""

EITHER: Final[frozenset[Tone]] = frozenset({"level", "oblique"})
UNKNOWN: Final[frozenset[Tone]] = frozenset()

WANTS: Final[dict[str, Want]] = {"平": "level", "仄": "oblique", "中": "any"}
SIGNS: Final[dict[Want, str]] = {want: sign for sign, want in WANTS.items()}


@cache
def wants(pattern: str) -> tuple[Want, ...]:
    """The wishes of a pattern such as "中平平仄仄", one for each character.

    Raises ConfigError for a sign other than 平, 仄 and 中.
    """
    for sign in pattern:
        if sign not in WANTS:
            raise ConfigError(f"pattern {pattern!r}: {sign!r} is not one of 平 (level), 仄 (oblique), 中 (either)")
    return tuple(WANTS[sign] for sign in pattern)


def fits(tones: frozenset[Tone], want: Want) -> bool:
    """True when a character with these tones may stand where `want` is asked; without tones only "any" takes it."""
    return want == "any" or want in tones


def sign(tones: frozenset[Tone]) -> str:
    """平 or 仄 for a character of one tone, 中 for one that has both, ？ for an unknown one."""
    if len(tones) == 1:
        return SIGNS[next(iter(tones))]
    return "中" if tones else "？"


def signs(line: Iterable[frozenset[Tone]]) -> str:
    """The tones of a line as a string of 平, 仄, 中 and ？."""
    return "".join(map(sign, line))
