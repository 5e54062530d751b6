"""Stretches are consecutive tokens, none twice, none lost but where it is said, with other borders in every epoch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plm.corpus.lanes import sentence_ends
from plm.corpus.store import Corpus
from plm.corpus.stretches import SentencePlan, Stretches, StretchPlan
from plm.errors import ConfigError
from tests.corpus.small import random_corpus


def require_runs(corpus: Corpus, made: Stretches, *, inside: bool) -> None:
    """No token twice, and none of two documents in a text where that is so."""
    order = np.argsort(made.start)
    start, end = made.start[order], (made.start + made.length)[order]
    assert made.length.min() >= 1
    assert (start[1:] >= end[:-1]).all()
    assert end[-1] <= len(corpus.tokens)
    if inside:
        borders = corpus.documents[:, 1]
        assert (np.searchsorted(borders, start, side="right") == np.searchsorted(borders, end - 1, side="right")).all()


@given(seed=st.integers(0, 99), most=st.integers(2, 70), across=st.booleans(), short=st.booleans())
@settings(deadline=None, max_examples=60)
def test_blocks_are_runs_of_tokens(seed: int, most: int, across: bool, short: bool) -> None:
    corpus = random_corpus(6, seed=seed)
    plan = StretchPlan(max_tokens=most, across_documents=across, keep_short=short, seed=seed)
    made = plan.stretches(corpus.documents, epoch=seed)
    if not len(made):
        assert not short
        return
    require_runs(corpus, made, inside=not across)
    assert made.length.max() <= most
    texts = 1 if across else len(corpus)
    if short:  # only single tokens are left out, at both ends of a text
        assert len(corpus.tokens) - made.length.sum() <= 2 * texts
    else:
        assert (made.length == most).all()
        assert len(corpus.tokens) - made.length.sum() <= 2 * most * texts


def test_borders_differ_between_epochs_and_are_the_same_for_the_same_one() -> None:
    corpus = random_corpus(3, sentences=200)
    for across in (False, True):
        plan = StretchPlan(max_tokens=64, across_documents=across)
        starts = [plan.stretches(corpus.documents, epoch=epoch).start for epoch in (0, 1, 0)]
        assert (starts[0] == starts[2]).all()
        inner = [set(start.tolist()) - set(corpus.documents[:, 1].tolist()) for start in starts]
        assert not inner[0] & inner[1]
        other = StretchPlan(max_tokens=64, across_documents=across, seed=1).stretches(corpus.documents, epoch=0)
        assert other.start.tolist() != starts[0].tolist()


def test_a_document_that_fits_is_never_cut() -> None:
    corpus = random_corpus(50, sentences=5)
    most = int(np.diff(corpus.documents[:, 1]).max())
    for epoch in range(3):
        made = StretchPlan(max_tokens=most).stretches(corpus.documents, epoch=epoch)
        assert (made.start + made.length).tolist() == [
            end for first, end in zip(corpus.documents[:, 1], corpus.documents[1:, 1], strict=False) if end - first > 1
        ]


@given(seed=st.integers(0, 99), most=st.integers(2, 70), short=st.sampled_from([0.0, 0.1, 1.0]))
@settings(deadline=None, max_examples=60)
def test_texts_of_sentences_hold_every_token_once(seed: int, most: int, short: float) -> None:
    corpus = random_corpus(6, seed=seed)
    plan = SentencePlan(max_tokens=most, short_probability=short, seed=seed)
    made = plan.stretches(sentence_ends(corpus.sentences), corpus.documents, epoch=seed)
    require_runs(corpus, made, inside=True)
    assert made.length.sum() == len(corpus.tokens)
    assert made.length.max() <= most


def test_texts_end_with_sentences_and_take_as_many_as_fit() -> None:
    corpus = random_corpus(20, sentences=100)
    ends = sentence_ends(corpus.sentences)
    made = SentencePlan(max_tokens=64).stretches(ends, corpus.documents, epoch=0)
    stop = made.start + made.length
    assert np.isin(stop, ends).all()
    following = ends[np.minimum(np.searchsorted(ends, stop) + 1, len(ends) - 1)]
    is_last = np.isin(stop, corpus.documents[:, 1])
    assert ((following - made.start > 64) | is_last).all()


def test_a_sentence_longer_than_a_text_is_cut() -> None:
    corpus = Corpus.of([[[7] * 25, [7] * 3]], random_corpus(1).tokenizer)
    made = SentencePlan(max_tokens=10).stretches(sentence_ends(corpus.sentences), corpus.documents, epoch=0)
    assert sorted(zip(made.start.tolist(), made.length.tolist(), strict=True)) == [(0, 10), (10, 10), (20, 8)]


def test_numbers_that_cannot_be_are_refused() -> None:
    for plan in (StretchPlan, SentencePlan):
        for options, message in (({"max_tokens": 1}, "max_tokens"), ({"max_tokens": 9, "seed": 2**64}, "seed")):
            with pytest.raises(ConfigError, match=message):
                plan(**options)
    with pytest.raises(ConfigError, match="short_probability"):
        SentencePlan(max_tokens=9, short_probability=-0.5)
