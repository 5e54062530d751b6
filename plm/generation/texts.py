"""Text out of tokens that come one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from plm.tokenizers import Tokenizer


def continuation(tokenizer: Tokenizer, prompt: Sequence[int], ids: Sequence[int], stop_strings: Sequence[str]) -> str:
    """What the new tokens `ids` add to the text of a prompt, up to the first stop text; special tokens are left out.

    It is the difference that they make, since a token may change how those before it are written (spaces, pieces of
    words).
    """
    before, after = (tokenizer.decode(row, skip_special_tokens=True) for row in (list(prompt), [*prompt, *ids]))
    text = after[_shared(before, after) :]
    return text[: first_of(text, stop_strings)]


class Stream:
    """The same piece by piece, as tokens come. What may yet become a stop text is held back."""

    def __init__(self, tokenizer: Tokenizer, prompt: Sequence[int], stop_strings: Sequence[str] = ()) -> None:
        self._tokenizer, self._prompt, self._stops = tokenizer, prompt, tuple(stop_strings)
        self._ids: list[int] = []
        self._shown = ""

    def add(self, token: int) -> str:
        """The text that this token adds, with what was held back before; "" while it may still change."""
        self._ids.append(token)
        text = self._text()
        return self._piece(text[: len(text) - _unfinished(text, self._stops)])

    def rest(self) -> str:
        """What was held back, when no token comes any more."""
        return self._piece(self._text())

    def _text(self) -> str:
        return continuation(self._tokenizer, self._prompt, self._ids, self._stops)

    def _piece(self, text: str) -> str:
        piece = text[_shared(self._shown, text) :]
        self._shown = max(self._shown, text, key=len)
        return piece


def stopping(tokenizer: Tokenizer, stop_strings: Sequence[str]) -> Callable[[Tensor, Tensor], Tensor]:
    """For `generate`: ends the texts in which one of these occurs."""

    def stop(rows: Tensor, ids: Tensor) -> Tensor:
        texts = (tokenizer.decode(row, skip_special_tokens=True) for row in ids.tolist())
        return torch.tensor([first_of(text, stop_strings) is not None for text in texts], device=ids.device)

    return stop


def first_of(text: str, stop_strings: Sequence[str]) -> int | None:
    """Where the first of the stop texts begins; None = there is none."""
    places = [place for stop in stop_strings if (place := text.find(stop)) >= 0]
    return min(places, default=None)


def _unfinished(text: str, stop_strings: Sequence[str]) -> int:
    """Characters at the end of the text that may be the beginning of a stop text."""
    beginnings = (stop[:size] for stop in stop_strings for size in range(1, len(stop)))
    return max((len(beginning) for beginning in beginnings if text.endswith(beginning)), default=0)


def _shared(one: str, other: str) -> int:
    """Characters at the beginning that two texts share."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))
