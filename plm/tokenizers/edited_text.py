"""A text under substitution that remembers where its characters came from."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable

Replacement = str | Callable[[re.Match[str]], str]


class EditedText:
    """A text and, when asked for, the place of each of its characters in the original.

    text: the present text.
    origin: for each character of `text` its (start, end) in the original; None when positions are not followed.
    """

    def __init__(self, text: str, *, start: int | None = None) -> None:
        """start: position of `text` in the original, or None to follow no positions (faster)."""
        self.text = text
        self.origin = None if start is None else [(start + i, start + i + 1) for i in range(len(text))]

    @classmethod
    def joined(cls, parts: Iterable[EditedText]) -> EditedText:
        """The parts that are not empty, with single spaces between them."""
        whole = cls("")
        parts = [part for part in parts if part.text]
        whole.text = " ".join(part.text for part in parts)
        if all(part.origin is not None for part in parts):
            whole.origin = []
            for part in parts:
                gap = [(whole.origin[-1][1], part.origin[0][0])] if whole.origin and part.origin else []
                whole.origin += gap + (part.origin or [])
        return whole

    def sub(self, pattern: re.Pattern[str], replacement: Replacement) -> None:
        """Replace every match, like `re.sub`."""
        if self.origin is None:
            self.text = pattern.sub(replacement, self.text)
            return
        pieces: list[str] = []
        origin: list[tuple[int, int]] = []
        position = 0
        for match in pattern.finditer(self.text):
            new = replacement(match) if callable(replacement) else match.expand(replacement)
            pieces += self.text[position : match.start()], new
            origin += self.origin[position : match.start()]
            origin += _inherited(self.origin[match.start() : match.end()], new)
            position = match.end()
        self.text = "".join([*pieces, self.text[position:]])
        self.origin = origin + self.origin[position:]

    def become(self, text: str) -> None:
        """Take the form that some other program gave this text; the stretches that are equal keep their origin."""
        if self.origin is not None and text != self.text:
            origin: list[tuple[int, int]] = []
            matcher = difflib.SequenceMatcher(None, self.text, text, autojunk=False)
            for kind, old_start, old_end, new_start, new_end in matcher.get_opcodes():
                old = self.origin[old_start:old_end] or self.origin[max(old_start - 1, 0) : old_start + 1]
                origin += old if kind == "equal" else [(old[0][0], old[-1][1])] * (new_end - new_start)
            self.origin = origin
        self.text = text


def _inherited(old: list[tuple[int, int]], new: str) -> list[tuple[int, int]]:
    """Origins of `new` in place of characters with the origins `old`.

    Character by character when single characters changed or only spaces came in; otherwise each has the whole.
    """
    if len(new) == len(old):
        return old
    if len(new) - new.count(" ") != len(old):
        return [(old[0][0], old[-1][1])] * len(new)
    inherited: list[tuple[int, int]] = []
    one_by_one, here = iter(old), old[0][0]
    for character in new:
        inherited.append((here, here) if character == " " else next(one_by_one))
        here = inherited[-1][1]
    return inherited
