"""The best spans are those of a search through all pairs of starts and ends, in the order of Google's code."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from plm.data.features.question_answering import Window, encode_questions
from plm.data.squad import Question
from plm.tasks.spans import Span, SpanLogits, best_logits, best_spans, lowest_null
from tests.reading import CONTEXT, uncased

WINDOWS: list[Window] = encode_questions(
    [Question("q", "when was it built", CONTEXT)],
    uncased(),
    max_length=18,
    doc_stride=5,
    max_query_length=4,
    has_labels=False,
)

Logits = list[tuple[list[float], list[float]]]


def kept(logits: Logits, count: int) -> list[SpanLogits]:
    """Of each window, from its starts and ends."""
    return [
        best_logits(torch.tensor([7]), torch.tensor([starts]), torch.tensor([ends]), count=count)[7]
        for starts, ends in logits
    ]


def searched(
    logits: Logits, *, count: int, longest: int, with_null: bool
) -> list[tuple[tuple[int, int] | None, float]]:
    """The slow way: every pair, then a stable sort."""
    found: list[tuple[tuple[int, int] | None, float]] = []
    for window, (starts, ends) in zip(WINDOWS, logits, strict=True):
        best = [sorted(range(len(row)), key=lambda place, row=row: -row[place])[:count] for row in (starts, ends)]
        for start, end in product(*best):
            inside = window.first_position <= end < window.first_position + window.stretch
            counts = window.counted[0] <= start < window.counted[1]
            if inside and counts and start <= end < start + longest:
                found.append(((window.token(start), window.token(end)), starts[start] + ends[end]))
    if with_null:
        found.append((None, min(starts[0] + ends[0] for starts, ends in logits)))
    return sorted(found, key=lambda pair: -pair[1])


def rows() -> st.SearchStrategy[Logits]:
    """Few values, so that many are equal; all are exact in binary."""
    values = st.sampled_from([-2.0, -0.5, 0.0, 0.25, 1.0, 3.0])
    row = [st.lists(values, min_size=len(one.input_ids), max_size=len(one.input_ids)) for one in WINDOWS]
    return st.tuples(*(st.tuples(one, one) for one in row)).map(list)


@settings(deadline=None, max_examples=100)
@given(rows(), st.integers(1, 20), st.integers(1, 8), st.booleans())
def test_spans_are_those_of_a_search_through_all_pairs(
    logits: Logits, count: int, longest: int, with_null: bool
) -> None:
    found = best_spans(WINDOWS, kept(logits, count), max_answer_length=longest, with_null=with_null)
    assert [(span.tokens, span.logit) for span in found] == searched(
        logits, count=count, longest=longest, with_null=with_null
    )


def test_several_windows_are_needed_here() -> None:
    assert len(WINDOWS) == 3


def test_the_window_that_believes_least_in_no_answer_speaks_for_it() -> None:
    flat: Logits = [([0.0] * len(one.input_ids), [0.0] * len(one.input_ids)) for one in WINDOWS]
    flat[0][0][0], flat[1][1][0], flat[2][0][0] = 2.0, -1.0, 4.0
    assert lowest_null(kept(flat, 3)) == Span(None, 0.0, -1.0)


def test_more_candidates_than_positions_are_all_positions() -> None:
    (logits,) = best_logits(
        torch.tensor([0]), torch.tensor([[1.0, 3.0]]), torch.tensor([[2.0, 2.0]]), count=20
    ).values()
    assert logits.starts.tolist() == [1, 0]
    assert logits.ends.tolist() == [0, 1]  # of equals the first
    assert logits.null == (1.0, 2.0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_logits_of_any_precision_are_kept_exactly(dtype: torch.dtype) -> None:
    row = torch.tensor([[0.1, 5.3]], dtype=dtype)
    (logits,) = best_logits(torch.tensor([0]), row, row, count=1).values()
    assert logits.start_logits.tolist() == [row[0, 1].item()]
