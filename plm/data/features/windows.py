"""How a text that is longer than a model reads is cut into windows, beside a shorter text that stands in each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from plm.tokenizers import Tokenizer


class Stretch(NamedTuple):
    """Tokens [first, first + length) of a context, of which [counted_from, counted_to) count."""

    first: int
    length: int
    counted_from: int
    counted_to: int


@dataclass(frozen=True)
class Frame:
    """The special tokens that a tokenizer puts around and between two texts, and the token types of the five parts."""

    before: list[int]
    between: list[int]
    after: list[int]
    types: tuple[int, int, int, int, int] | None

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> Frame:
        """What the tokenizer puts around a pair, seen on a pair of letters."""
        batch = tokenizer("a", "a", truncation=False)
        ids, sides = batch["input_ids"], batch.sequence_ids()
        first, second = [[place for place, side in enumerate(sides) if side == wanted] for wanted in (0, 1)]
        parts = (0, first[0], first[-1] + 1, second[0], second[-1] + 1, len(ids))
        row = batch.get("token_type_ids")
        # The type of an empty part does not matter.
        types = None if row is None else [row[min(part, len(ids) - 1)] for part in parts[:-1]]
        return cls(
            before=ids[: parts[1]],
            between=ids[parts[2] : parts[3]],
            after=ids[parts[4] :],
            types=None if types is None else (types[0], types[1], types[2], types[3], types[4]),
        )

    @property
    def size(self) -> int:
        """Special tokens of a window."""
        return len(self.before) + len(self.between) + len(self.after)

    def ids(self, question: Sequence[int], stretch: Sequence[int]) -> list[int]:
        """The ids of a window."""
        return [*self.before, *question, *self.between, *stretch, *self.after]

    def type_ids(self, question: int, stretch: int) -> list[int] | None:
        """The token types of a window with so many tokens of both texts; None for models without."""
        if self.types is None:
            return None
        before, first, between, second, after = ([kind] for kind in self.types)
        return (
            before * len(self.before)
            + first * question
            + between * len(self.between)
            + second * stretch
            + after * len(self.after)
        )


@lru_cache(maxsize=4096)
def stretches(count: int, room: int, stride: int) -> tuple[Stretch, ...]:
    """How a context of `count` tokens is cut into stretches of up to `room`, each `stride` tokens after the last.

    A token counts in the stretch that shows most on the poorer side of it, with a hundredth of its length added, as in
    Google's code; the first of equals. Never empty: a context without tokens has one stretch of length 0.
    """
    starts = [0]
    while starts[-1] + room < count:
        starts.append(starts[-1] + min(room, stride))
    lengths = [min(room, count - start) for start in starts]
    if len(starts) == 1:
        return (Stretch(0, count, 0, count),)
    first, length, token = np.array(starts)[:, None], np.array(lengths)[:, None], np.arange(count)
    left, right = token - first, first + length - 1 - token
    shown = np.where((left >= 0) & (right >= 0), np.minimum(left, right) + 0.01 * length, -1.0)
    best = shown.argmax(axis=0)  # never falls: further to the right, windows further to the right show more
    edges = np.searchsorted(best, np.arange(len(starts) + 1)).tolist()
    return tuple(map(Stretch, starts, lengths, edges[:-1], edges[1:]))
