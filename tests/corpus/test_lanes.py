"""Lanes hold every sentence once, in order, and never two documents."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from plm.corpus.lanes import LONGEST, cut_into_lanes, first_reaching, last_within, sentence_ends, tokens_before


def documents_of(counts: list[int]) -> np.ndarray:  # type: ignore[type-arg]
    firsts = np.cumsum([0, *counts])
    return np.stack([firsts, 3 * firsts], axis=1)


@given(counts=st.lists(st.integers(1, 3 * LONGEST), min_size=1, max_size=6), epoch=st.integers(0, 5))
@settings(deadline=None, max_examples=60)
def test_every_sentence_is_in_one_lane_of_its_document(counts: list[int], epoch: int) -> None:
    documents = documents_of(counts)
    lanes = cut_into_lanes(documents, seed=1, epoch=epoch)
    assert (lanes.first[0], lanes.end[-1]) == (0, sum(counts))
    assert (lanes.first[1:] == lanes.end[:-1]).all()
    sizes = lanes.end - lanes.first
    assert sizes.min() > 0
    assert sizes.max() <= LONGEST
    assert (lanes.first >= documents[lanes.document, 0]).all()
    assert (lanes.end <= documents[lanes.document + 1, 0]).all()
    assert len(set(lanes.key.tolist())) == len(lanes)


def test_a_document_up_to_the_longest_lane_is_never_cut() -> None:
    assert len(cut_into_lanes(documents_of([LONGEST, 1, LONGEST]), seed=1, epoch=0)) == 3


def test_a_long_document_is_cut_elsewhere_in_another_epoch_and_by_another_seed() -> None:
    documents = documents_of([10 * LONGEST])
    cuts = [cut_into_lanes(documents, seed=seed, epoch=epoch).end[0] for seed, epoch in ((1, 0), (1, 1), (2, 0))]
    assert len(set(cuts)) == 3


def test_a_lane_does_not_depend_on_the_documents_behind_it() -> None:
    few = cut_into_lanes(documents_of([700, 5]), seed=1, epoch=2)
    more = cut_into_lanes(documents_of([700, 5, 900]), seed=1, epoch=2)
    assert (more.key[: len(few)] == few.key).all()
    assert (more.first[: len(few)] == few.first).all()


def test_places_are_found_in_sums_of_any_type() -> None:
    for scale, kind in ((1, np.uint32), (2**31, np.int64)):
        ends = sentence_ends(np.array([3, 1, 4], dtype=np.int64) * scale)
        assert ends.dtype == kind
        assert tokens_before(ends, np.array([0, 1, 3])).tolist() == [0, 3 * scale, 8 * scale]
        tokens = np.array([0, 1, 3, 4, 8, 9]) * scale
        assert first_reaching(ends, tokens).tolist() == [0, 1, 1, 2, 3, 3]
        assert last_within(ends, tokens).tolist() == [0, 0, 1, 2, 3, 3]
