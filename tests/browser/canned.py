"""Models whose answers are known beforehand, behind the real service."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from plm.errors import PoemError
from plm.generation.config import GenerationConfig
from plm.poetry.checking import check
from plm.poetry.request import PoemRequest
from plm.poetry.script import to_traditional
from plm.serving.opening import Door, Opened

# Li Bai (701-762), leaving Baidi at dawn.
POEM = ("朝辞白帝彩云间", "千里江陵一日还", "两岸猿声啼不住", "轻舟已过万重山")
PIECES = ("Once ", "upon ", "a ", "time ", "there ", "was ", "a ", "model.")


@dataclass
class Canned:
    """What the models do, and what they were asked.

    delay: seconds before each answer and each piece. lines: of the next poems. title: theirs, None = as was wished.
    copied: lines that are known. label: the class of every text. asked: wishes and texts, the last one last.
    pieces: how many pieces of text were written.
    """

    delay: float = 0.0
    lines: tuple[str, ...] = POEM
    title: str | None = None
    copied: tuple[str, ...] = ()
    label: str = "positive"
    asked: list[Any] = field(default_factory=list)
    pieces: int = 0
    hurry: threading.Event = field(default_factory=threading.Event)

    def wait(self) -> None:
        """Take the time of an answer; at the end of a test nobody waits any more."""
        self.hurry.wait(self.delay)

    def opened(self) -> Opened:
        """All of it as one model."""
        doors = {name: self._door(answer) for name, answer in self._answers().items()}
        return Opened(family="bert", parameters=1, max_tokens=128, doors=doors, writer=Writer(self), poet=Poet(self))

    def _door(self, answer: Callable[[Any], Any]) -> Door:
        def work(values: Sequence[Any]) -> list[Any]:
            self.wait()
            self.asked.extend(values)
            return [answer(value) for value in values]

        return Door(work=work, count=lambda values: [1 for _ in values], cuts_at=128)

    def _answers(self) -> Mapping[str, Callable[[Any], Any]]:
        return {
            "classify": lambda text: {"label": self.label, "score": 0.91},
            "tag": lambda text: [_entity(text, "PER", "Angela Merkel"), _entity(text, "LOC", "Berlin")],
            "answer": lambda asked: _entity(asked[1], None, "Berlin"),
            "fill-mask": lambda text: [[{"token": "good", "score": 0.7}, {"token": "bad", "score": 0.2}]],
            "embed": lambda text: np.array([1.0, len(text) / 10]),
        }


def _entity(text: str, kind: str | None, words: str) -> dict[str, Any]:
    start = text.index(words)
    found = {"start": start, "end": start + len(words), "score": 0.97}
    return found | ({"answer": words} if kind is None else {"type": kind, "text": words})


@dataclass
class Poet:
    """Writes the same poem whatever is wished, but begins as it is told."""

    canned: Canned

    def write_all(self, requests: Sequence[PoemRequest]) -> list[list[dict[str, Any]]]:
        """See plm.serving.writers."""
        self.canned.wait()
        self.canned.asked.extend(map(vars, requests))
        return [[self._poem(request)] * request.n for request in requests]

    def _poem(self, wish: PoemRequest) -> dict[str, Any]:
        lines = self._lines(wish.mode, wish.text)
        report = check(lines, None if wish.form == "free" else wish.form, book=wish.book).to_dict()
        shown = [to_traditional(line) for line in lines] if wish.script == "traditional" else lines
        told = {"lines": shown, "form": wish.form, "title": self.canned.title or wish.title, "score": -2.9}
        return told | {"copied": self.canned.copied, "report": report}

    def _lines(self, mode: str, text: str) -> list[str]:
        lines = list(self.canned.lines)
        if mode == "acrostic":
            if "月" not in text:
                raise PoemError(f"the poet wants a moon, and got {text}")
            lines = [head + line[1:] for head, line in zip(text, lines, strict=True)]
        if mode == "continue":
            lines[0] = text + lines[0][len(text) :]
        return lines


@dataclass
class Writer:
    """Tells the beginning of a story, piece by piece."""

    canned: Canned

    def count(self, prompt: str) -> int:
        """See plm.serving.writers."""
        return len(prompt.split())

    def write(self, prompts: Sequence[str], config: GenerationConfig) -> list[list[dict[str, Any]]]:
        """See plm.serving.writers."""
        return [[{"text": "".join(PIECES), "score": -1.0, "ending": "stop"}] for _ in prompts]

    def stream(self, prompt: str, config: GenerationConfig) -> Generator[str, None, None]:
        """See plm.serving.writers."""
        for piece in PIECES:
            self.canned.wait()
            self.canned.pieces += 1
            yield piece
