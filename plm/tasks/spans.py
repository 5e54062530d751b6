"""From the logits of windows to the best answers of a question: which starts, which ends, in which window."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plm.data.features.question_answering import NO_ANSWER, Window


@dataclass(frozen=True, slots=True, eq=False)
class SpanLogits:
    """The best of a window's logits.

    starts, ends: (candidates,), positions in the window, the best first, of equals the first one.
    start_logits, end_logits: (candidates,), float64.
    null: the logits, as start and as end, of the position that means "no answer".
    """

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    start_logits: NDArray[np.float64]
    end_logits: NDArray[np.float64]
    null: tuple[float, float]


class Span(NamedTuple):
    """A possible answer: tokens [first, last] of the context, and its two logits; no tokens = there is no answer."""

    tokens: tuple[int, int] | None
    start_logit: float
    end_logit: float

    @property
    def logit(self) -> float:
        """The sum, by which answers are compared."""
        return self.start_logit + self.end_logit


def best_logits(indexes: Tensor, start_logits: Tensor, end_logits: Tensor, *, count: int) -> dict[int, SpanLogits]:
    """The `count` best starts and ends of each window, by its index.

    indexes: (windows,), int64. start_logits, end_logits: (windows, length), floating, on any device.
    """
    (starts, start_values), (ends, end_values) = (_top(logits, count) for logits in (start_logits, end_logits))
    nulls = torch.stack([start_logits[:, NO_ANSWER], end_logits[:, NO_ANSWER]], dim=1).tolist()
    return {
        index: SpanLogits(starts[row], ends[row], start_values[row], end_values[row], (nulls[row][0], nulls[row][1]))
        for row, index in enumerate(indexes.tolist())
    }


def _top(logits: Tensor, count: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    values, places = logits.detach().sort(dim=-1, descending=True, stable=True)
    return places[:, :count].cpu().numpy(), values[:, :count].double().cpu().numpy()


def best_spans(
    windows: Sequence[Window], logits: Sequence[SpanLogits], *, max_answer_length: int, with_null: bool
) -> Iterator[Span]:
    """The possible answers to one question, the best first; of equals the one of the earlier window and better start.

    windows: all of the question; logits: of each. max_answer_length: tokens of an answer.
    with_null: True = "no answer" is among them, with the lowest logits that any window gives it.
    An answer starts and ends in the context, within one window, and starts where that window counts.
    """
    found = [_of_window(*pair, max_answer_length) for pair in zip(windows, logits, strict=True)]
    tokens, starts, ends = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
    falling = -(starts + ends)
    order = np.argsort(falling, kind="stable")
    null = lowest_null(logits) if with_null else None
    before_null = len(order) if null is None else int(np.searchsorted(falling[order], -null.logit, side="right"))
    for rank, row in enumerate(order):
        if null is not None and rank == before_null:
            yield null
        yield Span((int(tokens[row, 0]), int(tokens[row, 1])), float(starts[row]), float(ends[row]))
    if null is not None and before_null == len(order):
        yield null


def lowest_null(logits: Sequence[SpanLogits]) -> Span:
    """ "No answer", as the window says it that believes in it least: any window may hold the answer."""
    return min((Span(None, *window.null) for window in logits), key=lambda span: span.logit)


def _of_window(
    window: Window, logits: SpanLogits, max_answer_length: int
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Tokens of the context, (spans, 2), with both logits, (spans,) each: every pair of the best starts and ends."""
    counts = (logits.starts >= window.counted[0]) & (logits.starts < window.counted[1])
    inside = (logits.ends >= window.first_position) & (logits.ends < window.first_position + window.stretch)
    starts, ends = logits.starts[counts], logits.ends[inside]
    length = ends - starts[:, None] + 1
    row, column = np.nonzero((length >= 1) & (length <= max_answer_length))
    positions = np.stack([starts[row], ends[column]], axis=1)
    return (
        positions - window.first_position + window.first_token,
        logits.start_logits[counts][row],
        logits.end_logits[inside][column],
    )
