"""Pairs are pieces of documents that follow each other or do not, as the label says; the statistics are Google's."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from plm.corpus.google import google_instances
from plm.corpus.lanes import LONGEST, sentence_ends
from plm.corpus.pairs import NextSentence, PairPlan, Pairs
from plm.corpus.sentences import split_sentences
from plm.corpus.store import Corpus
from plm.errors import ConfigError, DataError
from plm.tokenizers import load_tokenizer
from tests.corpus.small import random_corpus
from tests.shared_data import shared_data

Ints = NDArray[np.int64]

KINDS = st.sampled_from(["random", "order"])


def pairs_of(
    corpus: Corpus, *, epoch: int = 0, max_tokens: int = 40, kind: NextSentence = "random", **options: float
) -> Pairs:
    plan = PairPlan(max_tokens=max_tokens, next_sentence=kind, **options)  # type: ignore[arg-type]
    made = plan.pairs(sentence_ends(corpus.sentences), corpus.documents, epoch=epoch)
    return Pairs(*(column.astype(np.int64) for column in made.columns()))


def document_of(corpus: Corpus, tokens: Ints) -> Ints:
    return np.searchsorted(corpus.documents[:, 1], tokens, side="right") - 1


def times_used(corpus: Corpus, pairs: Pairs, *, kind: NextSentence) -> Ints:
    """(tokens,): how often each comes in an A, or a B that follows its A."""
    used = np.zeros(len(corpus.tokens) + 1, dtype=np.int64)
    rows = np.arange(len(pairs)) if kind == "order" else np.flatnonzero(pairs.label == 0)
    for start, length in ((pairs.a_start, pairs.a_length), (pairs.b_start[rows], pairs.b_length[rows])):
        np.add.at(used, start, 1)
        np.add.at(used, start + length, -1)
    return np.cumsum(used)[:-1]


@given(seed=st.integers(0, 99), max_tokens=st.integers(2, 60), kind=KINDS, short=st.sampled_from([0.0, 0.1, 1.0]))
@settings(deadline=None, max_examples=60)
def test_texts_lie_in_one_document_each_fit_and_come_once(
    seed: int, max_tokens: int, kind: NextSentence, short: float
) -> None:
    corpus = random_corpus(5, seed=seed)
    pairs = pairs_of(corpus, epoch=seed, max_tokens=max_tokens, kind=kind, short_probability=short)
    assert min(pairs.a_length.min(), pairs.b_length.min()) >= 1
    assert (pairs.a_length + pairs.b_length).max() <= max_tokens
    for start, length in ((pairs.a_start, pairs.a_length), (pairs.b_start, pairs.b_length)):
        assert (document_of(corpus, start) == document_of(corpus, start + length - 1)).all()
    assert times_used(corpus, pairs, kind=kind).max() == 1


@given(seed=st.integers(0, 99))
@settings(deadline=None, max_examples=30)
def test_the_label_says_whether_b_is_from_another_document(seed: int) -> None:
    corpus = random_corpus(2, seed=seed)
    pairs = pairs_of(corpus, epoch=seed)
    a, b = document_of(corpus, pairs.a_start), document_of(corpus, pairs.b_start)
    assert ((a != b) == pairs.label).all()


def test_without_truncation_b_begins_where_a_ends_or_is_elsewhere() -> None:
    corpus = random_corpus(40, tokens=5)
    pairs = pairs_of(corpus, max_tokens=400, short_probability=0.0)
    follows = pairs.b_start == pairs.a_start + pairs.a_length
    whole = pairs.a_length + pairs.b_length < 400  # nothing was cut off
    assert (follows | (pairs.label == 1))[whole].all()


def test_no_sentence_is_lost_but_what_truncation_cuts_off() -> None:
    corpus = random_corpus(30, sentences=300)
    for kind in ("random", "order"):
        pairs = pairs_of(corpus, max_tokens=64, kind=kind)  # type: ignore[arg-type]
        assert times_used(corpus, pairs, kind=kind).mean() > 0.85  # type: ignore[arg-type]


def test_in_order_or_swapped_the_texts_follow_each_other() -> None:
    corpus = random_corpus(40, sentences=60)
    pairs = pairs_of(corpus, max_tokens=64, kind="order")
    swapped = pairs.b_start < pairs.a_start
    assert (swapped == pairs.label).all()
    assert swapped.mean() == pytest.approx(0.5, abs=0.04)
    assert (document_of(corpus, pairs.a_start) == document_of(corpus, pairs.b_start)).all()


def test_a_single_sentence_gives_a_pair_in_order_and_one_of_a_single_token_none() -> None:
    corpus = Corpus.of([[[7, 8, 9]], [[7]], [[7, 8]]], random_corpus(1).tokenizer)
    pairs = pairs_of(corpus, kind="order", short_probability=0.0)
    assert len(pairs) == 2
    assert (pairs.a_length + pairs.b_length).tolist() == [3, 2]
    assert np.minimum(pairs.a_start, pairs.b_start).tolist() == [0, 4]


def test_another_document_is_any_other_one_and_begins_at_any_of_its_sentences() -> None:
    documents, sentences, size = 4, 4, 9
    corpus = Corpus.of([[[7] * size] * sentences] * documents, random_corpus(1).tokenizer)
    seen: Counter[tuple[int, int]] = Counter()
    for epoch in range(600):
        pairs = pairs_of(corpus, epoch=epoch, max_tokens=20, short_probability=0.0)
        rows = np.flatnonzero(pairs.label)
        places = document_of(corpus, pairs.a_start)[rows], (pairs.b_start // size)[rows]
        seen.update(zip(*(place.tolist() for place in places), strict=True))
    assert set(seen) == {(a, b) for a in range(documents) for b in range(16) if b // sentences != a}
    mean = sum(seen.values()) / len(seen)
    assert sum((n - mean) ** 2 for n in seen.values()) / mean < 82.7  # 47 degrees of freedom, 0.1 %


def test_tokens_too_many_go_from_both_ends_of_the_longer_text_by_a_coin() -> None:
    corpus = Corpus.of([[[7] * 10, [7] * 300]] * 800, random_corpus(1).tokenizer)
    pairs = pairs_of(corpus, max_tokens=100, short_probability=0.0)
    rows = np.flatnonzero((pairs.label == 0) & (pairs.a_length == 10))
    assert (pairs.b_length[rows] == 90).all()
    front = pairs.b_start[rows] % 310 - 10
    assert front.mean() == pytest.approx(105, abs=2)  # heads among 210 coins
    assert front.std() == pytest.approx(210**0.5 / 2, rel=0.25)


@pytest.mark.parametrize(("a", "b"), [(70, 70), (71, 20), (20, 90), (50, 51), (51, 50), (45, 200)])
def test_the_longer_text_is_cut_one_token_after_the_other(a: int, b: int) -> None:
    corpus = Corpus.of([[[7] * a, [7] * b]] * 20, random_corpus(1).tokenizer)
    pairs = pairs_of(corpus, max_tokens=99, short_probability=0.0)
    expected_a, expected_b = a, b
    while expected_a + expected_b > 99:
        is_longer = expected_a > expected_b
        expected_a, expected_b = expected_a - is_longer, expected_b - (not is_longer)
    rows = np.flatnonzero(pairs.label == 0)
    lengths = set(zip(pairs.a_length[rows].tolist(), pairs.b_length[rows].tolist(), strict=True))
    assert lengths == {(expected_a, expected_b)}


def test_pairs_follow_from_seed_epoch_and_document_alone() -> None:
    corpus = random_corpus(20, sentences=50)
    first, again = pairs_of(corpus, epoch=3), pairs_of(corpus, epoch=3)
    assert all((one == other).all() for one, other in zip(first.columns(), again.columns(), strict=True))
    for other in (pairs_of(corpus, epoch=4), pairs_of(corpus, epoch=3, seed=1)):
        assert len(other) != len(first) or (other.b_start != first.b_start).any()


def test_short_pairs_are_as_many_as_asked_for() -> None:
    corpus = random_corpus(40, sentences=150, tokens=4)
    never, always = (pairs_of(corpus, max_tokens=50, short_probability=share) for share in (0.0, 1.0))
    assert np.median(never.a_length + never.b_length) == 50
    lengths = always.a_length + always.b_length
    assert lengths[lengths < 50].std() > 8
    assert len(always) > 1.5 * len(never)


def test_what_cannot_be_is_refused() -> None:
    corpus = random_corpus(1)
    with pytest.raises(DataError, match="there is only one"):
        pairs_of(corpus)
    for options, message in (
        ({"max_tokens": 1}, "max_tokens: expected 2 or more"),
        ({"max_tokens": 9, "short_probability": 1.5}, "short_probability: expected a share"),
        ({"max_tokens": 9, "next_sentence": "none"}, "next_sentence: expected random or order"),
        ({"max_tokens": 9, "seed": -1}, "seed: expected a number"),
    ):
        with pytest.raises(ConfigError, match=message):
            PairPlan(**options)  # type: ignore[arg-type]


# ---- Google's statistics


def histogram(lengths: Ints, most: int) -> Ints:
    return np.bincount(np.minimum(lengths * 10 // (most + 1), 9), minlength=10)


def compared_with_google(corpus: Corpus, documents: list[list[list[int]]], *, max_length: int) -> None:
    """Numbers of pairs, lengths, their histogram and the share of random ones; targets all the same, see the module."""
    words = corpus.tokenizer.convert_ids_to_tokens(list(range(len(corpus.tokenizer))))
    theirs = google_instances(
        documents, words=words, max_seq_length=max_length, max_predictions_per_seq=1, short_seq_prob=0.0, dupe_factor=2
    )
    ours = [pairs_of(corpus, epoch=epoch, max_tokens=max_length - 3, short_probability=0.0) for epoch in range(2)]
    length = np.concatenate([pairs.a_length + pairs.b_length + 3 for pairs in ours])
    expected = np.array([len(one.tokens) for one in theirs])
    assert len(length) == pytest.approx(len(expected), rel=0.02)
    assert length.mean() == pytest.approx(expected.mean(), rel=0.01)
    random = np.mean([one.is_random_next for one in theirs])
    assert np.concatenate([pairs.label for pairs in ours]).mean() == pytest.approx(random, abs=0.03)
    a_length = np.concatenate([pairs.a_length for pairs in ours])
    assert a_length.mean() == pytest.approx(np.mean([one.segment_ids.index(1) - 2 for one in theirs]), rel=0.05)
    seen, wanted = histogram(length, max_length), histogram(expected, max_length)
    differ = (seen - wanted) ** 2 / np.maximum(1, seen + wanted)
    assert differ.sum() < 33.7  # chi-square of two samples, 9 degrees of freedom, 0.01 %


def test_statistics_are_googles_on_made_up_texts() -> None:
    corpus = random_corpus(120, sentences=90, tokens=30)
    compared_with_google(corpus, [corpus.document(number) for number in range(len(corpus))], max_length=64)


@pytest.mark.parametrize("max_length", [128, 512])
def test_statistics_are_googles_on_books(max_length: int) -> None:
    text = shared_data("text_en", "books.txt").read_text(encoding="utf-8")
    tokenizer = load_tokenizer(shared_data("vocabs", "bert-base-uncased-vocab.txt"))
    documents = []
    for document in text.split("\n\n")[:150]:
        sentences = [one for line in document.splitlines() for one in split_sentences(line)]
        documents.append([ids for ids in tokenizer.encode_batch_ids(sentences, add_special_tokens=False)[0] if ids])
    corpus = Corpus.of(documents, tokenizer)
    assert np.diff(corpus.documents[:, 0]).max() <= LONGEST
    compared_with_google(corpus, documents, max_length=max_length)
