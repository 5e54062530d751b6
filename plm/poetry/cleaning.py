"""Poems of a text file, `title:poem` a line: what is not a whole poem of Han characters is dropped, and counted.

    cleaned = clean_poems(enumerate(open("poetry.txt", encoding="utf-8"), 1), longest=64)
    cleaned.poems[0].body                                  # "床前明月光，疑是地上霜。举头望明月，低头思故乡。"
    print(*cleaned.lines(), sep="\\n")                      # how many were dropped, and why

The rules are those of AaronJny's poem generator (https://github.com/AaronJny/DeepLearningExamples), and stricter: there
brackets and long poems are dropped, here lost characters (□), repeated poems and unfinished ones as well; there titles
are thrown away, here they are kept, without notes and signs.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from plm.poetry.characters import HAN_RANGES, normalize

COMMA, STOP = "，", "。"
"""The marks that end the lines of a poem: within a couplet, and behind it."""

DROPPED: Mapping[str, str] = {
    "colon": "not one colon between title and poem",
    "sign": "a sign that is neither a Han character nor a mark: brackets, □, letters",
    "end": "the last line lacks its mark, or a line is empty",
    "long": "longer than wanted",
    "repeated": "the same poem came before",
}
"""Why a line is dropped; the first reason that applies counts."""

_HAN = "".join(f"{chr(first)}-{chr(last)}" for first, last in HAN_RANGES)
_IS_POEM = re.compile(f"[{_HAN}{COMMA}{STOP}]+")
_IS_FINISHED = re.compile(f"([{_HAN}]+[{COMMA}{STOP}])*[{_HAN}]+{STOP}")
_RUN_OF_MARKS = re.compile(f"[{COMMA}{STOP}]{{2,}}")
_NOT_HAN = re.compile(f"[^{_HAN}]+")
_NOTE = re.compile(r"[（(\[〖《「].*?[）)\]〗》」]")
# Poems have two marks here; others say the same to whoever counts lines.
_MARKS = str.maketrans({"；": COMMA, "、": COMMA, "！": STOP, "？": STOP})


@dataclass(frozen=True, slots=True)
class Poem:
    """A poem. title: Han characters alone, may be empty. body: lines, each with its mark. line: in its file, from 1."""

    title: str
    body: str
    line: int

    @property
    def lines(self) -> list[str]:
        """Its lines without marks."""
        return split_lines(self.body)


@dataclass(frozen=True)
class Cleaned:
    """Poems, and how many lines were dropped for each reason of DROPPED."""

    poems: Sequence[Poem]
    dropped: Mapping[str, int]

    def lines(self) -> list[str]:
        """The account, one fact a line."""
        reasons = [f"dropped {self.dropped[name]:,}: {why}" for name, why in DROPPED.items() if self.dropped.get(name)]
        return [f"{len(self.poems):,} poems", *reasons]


def clean_poems(lines: Iterable[tuple[int, str]], *, longest: int = 64) -> Cleaned:
    """The poems of numbered lines; blank lines are passed over.

    longest: characters of a poem, marks included; 64 are eight lines of seven.
    """
    poems: list[Poem] = []
    seen: set[str] = set()
    dropped: Counter[str] = Counter()
    for number, line in lines:
        if not line.strip():
            continue
        title, body = divide(line)
        reason = _fault(body, longest=longest) or ("repeated" if body in seen else None)
        if reason:
            dropped[reason] += 1
        else:
            seen.add(body)
            poems.append(Poem(title=clean_title(title), body=body, line=number))
    return Cleaned(poems, dropped)


def divide(line: str) -> tuple[str, str]:
    """Title and poem of a line; a poem of "" where there is not one colon, wide or narrow.

    The marks of the poem are the two of ours, one behind each line: "悲夫！。" -> "悲夫。".
    """
    parts = normalize(line).split("：")
    if len(parts) != 2:
        return line, ""
    body = re.sub(r"\s", "", parts[1]).translate(_MARKS)
    return parts[0], _RUN_OF_MARKS.sub(lambda run: STOP if STOP in run[0] else COMMA, body)


def clean_title(title: str) -> str:
    """The Han characters of a title, without notes in brackets: "登楼（一作上楼） 其二" -> "登楼其二"."""
    return _NOT_HAN.sub("", _NOTE.sub("", title))


def split_lines(body: str) -> list[str]:
    """The lines of a poem without their marks."""
    return [line for line in re.split(f"[{COMMA}{STOP}]", body) if line]


def _fault(body: str, *, longest: int) -> str | None:
    """Why a poem is dropped, a name in DROPPED; None = it is not."""
    if not body:
        return "colon"
    if not _IS_POEM.fullmatch(body):
        return "sign"
    if not _IS_FINISHED.fullmatch(body):
        return "end"
    return "long" if len(body) > longest else None
