"""What is a character of a poem, what is punctuation, and where the lines end."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

HAN_RANGES: Final[tuple[tuple[int, int], ...]] = (
    (0x4E00, 0x9FFF),  # the common block first: nearly every question ends here
    (0x3400, 0x4DBF),  # extension A
    (0x3007, 0x3007),  # 〇
    (0xF900, 0xFAFF),  # compatibility ideographs
    (0x20000, 0x3FFFF),  # the planes of the later extensions
)
"""Code points of Chinese characters, first and last of each range."""

FULL_WIDTH: Final[dict[int, str]] = str.maketrans(
    {",": "，", ".": "。", "!": "！", "?": "？", ";": "；", ":": "：", "､": "、", "｡": "。", "．": "。", "\u3000": " "}
)
"""Half width and rare signs to those that Chinese print uses."""

LINE_END: Final = re.compile(r"[，。！？；：、\s]+")
DECORATION: Final = re.compile(r"[「」『』《》〈〉“”‘’\"'()（）【】\[\]…—·\u200b\ufeff]")
"""Quotes, brackets and the like: they neither end a line nor count in it."""


def is_han(character: str) -> bool:
    """True for one Chinese character, simplified, traditional or rare; False for punctuation, letters and digits."""
    return len(character) == 1 and any(first <= ord(character) <= last for first, last in HAN_RANGES)


def normalize(text: str) -> str:
    """Full width Chinese punctuation, and one code point for each character (Unicode NFC).

    >>> normalize("白日依山尽,黄河入海流.")
    '白日依山尽，黄河入海流。'
    """
    return unicodedata.normalize("NFC", text).translate(FULL_WIDTH)


def parse_poem(text: str) -> tuple[str, ...]:
    """The lines of a poem without punctuation.

    Any of ，。！？；：、 in either width, a space or a line break ends a line. Quotes and brackets are left out. What
    is neither Han nor punctuation stays, so that a check can name it.

    >>> parse_poem("白日依山尽，黄河入海流。欲穷千里目，更上一层楼。")
    ('白日依山尽', '黄河入海流', '欲穷千里目', '更上一层楼')
    """
    return tuple(line for line in LINE_END.split(DECORATION.sub("", normalize(text))) if line)
