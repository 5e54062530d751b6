"""Masked is the right share of the right tokens, as a function of nothing but what it should be, anew each epoch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import plm
from plm.config import from_dict
from plm.data.masking import Masked, Masking, Pieces, mask_flat, mask_tokens
from plm.errors import ConfigError, TokenizerError

Ids = NDArray[np.int64]

TOKENIZER = plm.AutoTokenizer.from_pretrained("plm/tiny-en")
PIECES = Pieces(TOKENIZER)
CLS, SEP, PAD, MASK = (TOKENIZER.convert_tokens_to_ids(token) for token in ("[CLS]", "[SEP]", "[PAD]", "[MASK]"))
WORDS = np.flatnonzero(~PIECES.is_special & ~PIECES.continues)
ENDINGS = np.flatnonzero(PIECES.continues)


def texts(count: int, length: int, *, seed: int = 0, endings: float = 0.3) -> tuple[Ids, NDArray[np.bool_]]:
    """Random words and pieces between [CLS] and [SEP], of 1 to `length` tokens, padded."""
    draw = np.random.default_rng(seed)
    ids = np.where(
        draw.random((count, length)) < endings,
        draw.choice(ENDINGS, (count, length)),
        draw.choice(WORDS, (count, length)),
    )
    lengths = draw.integers(1, length + 1, count)
    places = np.arange(length)
    ids = np.where(places < lengths[:, None], ids, PAD)
    ids[:, 0] = CLS
    ids[np.arange(count), lengths - 1] = np.where(lengths > 1, SEP, CLS)
    return ids, places < lengths[:, None]


def mask(ids: Ids, live: NDArray[np.bool_], *, index: Any = None, epoch: int = 0, **options: Any) -> tuple[Ids, Ids]:
    numbers = np.arange(len(ids)) if index is None else np.asarray(index)
    return mask_tokens(ids, live, index=numbers, epoch=epoch, masking=Masking(**options), pieces=PIECES)


@given(seed=st.integers(0, 2**63), epoch=st.integers(0, 1000), probability=st.floats(0.01, 1.0), whole=st.booleans())
@settings(deadline=None, max_examples=60)
def test_only_ordinary_live_tokens_are_masked_and_labels_say_what_they_were(
    seed: int, epoch: int, probability: float, whole: bool
) -> None:
    ids, live = texts(7, 12, seed=seed % 99)
    masked, labels = mask(ids, live, epoch=epoch, seed=seed, probability=probability, whole_words=whole)
    chosen = labels != -100
    assert not (chosen & (PIECES.is_special[ids] | ~live)).any()
    assert (labels[chosen] == ids[chosen]).all()
    assert (masked[~chosen] == ids[~chosen]).all()
    ordinary = (live & ~PIECES.is_special[ids]).sum(1)
    wanted = np.where(ordinary, np.maximum(1, np.floor(probability * ordinary + 0.5)), 0)
    assert (chosen.sum(1) >= wanted).all()
    if not whole:
        assert (chosen.sum(1) == wanted).all()


def test_of_the_chosen_ones_four_fifths_are_hidden_a_tenth_replaced_a_tenth_left() -> None:
    ids, live = texts(400, 100)
    masked, labels = mask(ids, live)
    chosen = labels != -100
    hidden, left = (masked == MASK)[chosen].mean(), (masked == ids)[chosen].mean()
    assert hidden == pytest.approx(0.8, abs=0.02)
    assert left == pytest.approx(0.1, abs=0.015)
    replaced = masked[chosen & (masked != MASK) & (masked != ids)]
    assert not PIECES.is_special[replaced].any()
    assert len(set(replaced.tolist())) > 0.9 * min(len(replaced), len(PIECES.ordinary)) * 0.9  # all over the vocabulary


def test_every_place_is_as_likely_as_any_other() -> None:
    ids, live = texts(4000, 12, endings=0.0)
    ids[:, 1:-1], ids[:, -1], live[:] = WORDS[0], SEP, True
    _, labels = mask(ids, live, probability=0.3)
    shares = (labels != -100)[:, 1:-1].mean(0)
    assert np.abs(shares - 0.3).max() < 0.04


@pytest.mark.parametrize("whole", [False, True])
def test_an_example_is_masked_alike_in_whatever_batch(whole: bool) -> None:
    ids, live = texts(6, 10)
    masked, labels = mask(ids, live, epoch=3, whole_words=whole)
    order = [4, 0, 2]
    wider = np.pad(ids[order], ((0, 0), (0, 5)), constant_values=PAD), np.pad(live[order], ((0, 0), (0, 5)))
    again, again_labels = mask(*wider, index=order, epoch=3, whole_words=whole)
    assert (again[:, :10] == masked[order]).all()
    assert (again_labels[:, :10] == labels[order]).all()


def test_every_epoch_seed_and_example_is_masked_anew() -> None:
    ids, live = texts(50, 60)
    ids[:], live[:] = ids[0], live[0]
    first = mask(ids, live, epoch=0)[1]
    assert (first == mask(ids, live, epoch=0)[1]).all()
    for other in (
        mask(ids, live, epoch=1)[1],
        mask(ids, live, seed=7)[1],
        mask(ids, live, index=np.arange(50) + 50)[1],
    ):
        differ = (first != other).any(1).mean()
        assert differ > 0.5
    assert len(np.unique(first, axis=0)) > 25


def test_pieces_of_a_word_are_masked_together() -> None:
    ids, live = texts(200, 40)
    _, labels = mask(ids, live, whole_words=True)
    chosen = labels != -100
    ordinary = live & ~PIECES.is_special[ids]
    inside = PIECES.continues[ids[:, 1:]] & ordinary[:, 1:] & ordinary[:, :-1]
    assert (chosen[:, 1:] == chosen[:, :-1])[inside].all()
    apart = ~PIECES.continues[ids[:, 1:]] & ordinary[:, 1:] & ordinary[:, :-1]
    assert (chosen[:, 1:] != chosen[:, :-1])[apart].any()
    share = chosen.sum() / ordinary.sum()
    assert 0.14 < share < 0.22


def test_the_given_arrays_stay_as_they_are() -> None:
    ids, live = texts(5, 8)
    before = ids.copy(), live.copy()
    mask(ids, live, whole_words=True)
    assert (ids == before[0]).all()
    assert (live == before[1]).all()


def test_a_batch_without_a_single_ordinary_token_has_no_labels() -> None:
    ids = np.array([[CLS, SEP, PAD]])
    masked, labels = mask(ids, ids != PAD)
    assert (masked == ids).all()
    assert (labels == -100).all()


def test_the_global_random_state_is_left_alone() -> None:
    np.random.seed(1)
    before = np.random.get_state()[1]
    mask(*texts(3, 8))
    assert (np.random.get_state()[1] == before).all()


def test_shares_that_cannot_be_are_refused() -> None:
    for options, message in (
        ({"probability": 1.5}, "probability: expected a share"),
        ({"mask_share": 0.9, "random_share": 0.2}, "leave 0 or more"),
        ({"mask_share": -0.1}, "leave 0 or more"),
        ({"seed": -1}, "seed: expected a number from 0"),
        ({"seed": 2**64}, "seed: expected a number from 0"),
        ({"probability": -0.1}, "probability: expected a share"),
        ({"count": "exact"}, "count"),
        ({"max_predictions": 0}, "max_predictions: expected 1 or more"),
        ({"max_predictions": 5, "count": "independent"}, "max_predictions: expected 1 or more"),
        ({"max_span": 0}, "max_span: expected 1 word"),
        ({"span_stop": 1.0}, "span_stop: expected a share"),
    ):
        with pytest.raises(ConfigError, match=message):
            from_dict(Masking, options)  # type: ignore[arg-type]


def test_a_vocabulary_without_mask_token_is_refused() -> None:
    other = plm.AutoTokenizer.from_pretrained("plm/tiny-en")
    other.set_role("mask_token", None)
    with pytest.raises(TokenizerError, match="the vocabulary has no mask token"):
        Pieces(other)


# ---- texts without padding, other counts, spans

KINDS = (
    {},
    {"whole_words": True},
    {"count": "google"},
    {"count": "google", "whole_words": True},
    {"count": "google", "max_predictions": 3},
    {"whole_words": True, "max_predictions": 3},
    {"count": "independent"},
    {"count": "independent", "whole_words": True},
    {"max_span": 10},
    {"count": "google", "max_span": 4},
    {"count": "independent", "max_span": 4},
)


def mask_all(
    ids: Ids, lengths: Ids, *, epoch: int = 0, index: Any = None, starts: Any = None, **options: Any
) -> Masked:
    numbers = np.arange(len(lengths)) if index is None else np.asarray(index)
    masking = Masking(**options)
    return mask_flat(ids, lengths, index=numbers, epoch=epoch, masking=masking, pieces=PIECES, starts=starts)


def one_after_the_other(count: int, length: int, *, seed: int = 0, endings: float = 0.3) -> tuple[Ids, Ids]:
    ids, live = texts(count, length, seed=seed, endings=endings)
    return ids[live], live.sum(1)


@pytest.mark.parametrize("options", KINDS)
def test_padded_and_flat_texts_are_masked_alike(options: dict[str, Any]) -> None:
    ids, live = texts(40, 60)
    flat = mask_all(ids[live], live.sum(1), epoch=2, **options)
    masked, labels = mask(ids, live, epoch=2, **options)
    assert (masked[live] == flat.ids).all()
    assert (np.flatnonzero(labels[live] != -100) == flat.places).all()
    assert (labels[live][flat.places] == flat.labels).all()
    assert len(flat.places)


@pytest.mark.parametrize("options", KINDS)
def test_only_chosen_places_change_and_labels_are_what_stood_there(options: dict[str, Any]) -> None:
    ids, lengths = one_after_the_other(60, 50)
    before = ids.copy()
    masked = mask_all(ids, lengths, **options)
    assert (ids == before).all()
    assert (np.diff(masked.places) > 0).all()
    assert (masked.labels == ids[masked.places]).all()
    assert not PIECES.is_special[masked.labels].any()
    untouched = np.ones(len(ids), dtype=bool)
    untouched[masked.places] = False
    assert (masked.ids[untouched] == ids[untouched]).all()


@pytest.mark.parametrize("options", KINDS)
def test_a_flat_text_is_masked_alike_in_whatever_batch(options: dict[str, Any]) -> None:
    ids, lengths = one_after_the_other(9, 40)
    parts = np.split(ids, np.cumsum(lengths)[:-1])
    whole = np.split(mask_all(ids, lengths, epoch=1, **options).ids, np.cumsum(lengths)[:-1])
    for order in ([3], [8, 0, 3], [5, 5]):
        some = mask_all(np.concatenate([parts[n] for n in order]), lengths[order], epoch=1, index=order, **options)
        for number, part in zip(order, np.split(some.ids, np.cumsum(lengths[order])[:-1]), strict=True):
            assert (part == whole[number]).all()


@pytest.mark.parametrize("options", KINDS)
def test_with_probability_0_nothing_is_masked(options: dict[str, Any]) -> None:
    ids, lengths = one_after_the_other(20, 30)
    masked = mask_all(ids, lengths, **{**options, "probability": 0.0})
    assert len(masked.places) == len(masked.labels) == 0
    assert (masked.ids == ids).all()


def counts_of(masked: Masked, lengths: Ids) -> Ids:
    return np.diff(np.searchsorted(masked.places, np.append(0, np.cumsum(lengths))))


def test_google_counts_special_tokens_too_and_rounds_as_python_does() -> None:
    lengths = np.array([10, 30, 50, 128, 3, 12])
    ids = np.concatenate([np.array([CLS, *[WORDS[0]] * (n - 2), SEP]) for n in lengths])
    counts = counts_of(mask_all(ids, lengths, count="google"), lengths)
    assert counts.tolist() == [min(20, max(1, round(n * 0.15))) for n in lengths.tolist()]
    capped = counts_of(mask_all(ids, lengths, count="google", max_predictions=4), lengths)
    assert capped.tolist() == [2, 4, 4, 4, 1, 2]


def test_whole_words_that_would_exceed_googles_count_are_passed_over() -> None:
    ids, lengths = one_after_the_other(300, 60, endings=0.6)
    counts = counts_of(mask_all(ids, lengths, count="google", whole_words=True), lengths)
    wanted = np.maximum(1, np.rint(lengths * 0.15))
    assert (counts <= wanted).all()
    assert (counts == wanted).mean() > 0.8


def test_never_more_than_max_predictions_are_masked() -> None:
    ids, lengths = one_after_the_other(300, 60, endings=0.6)
    for options in ({}, {"whole_words": True}, {"max_span": 5}, {"count": "google", "max_span": 5}):
        assert counts_of(mask_all(ids, lengths, max_predictions=3, **options), lengths).max() == 3


@pytest.mark.parametrize("whole", [False, True])
def test_independent_words_are_masked_with_their_probability(whole: bool) -> None:
    ids, lengths = one_after_the_other(600, 80)
    masked = mask_all(ids, lengths, count="independent", whole_words=whole, probability=0.2)
    assert len(masked.places) / (~PIECES.is_special[ids]).sum() == pytest.approx(0.2, abs=0.01)
    counts = counts_of(masked, lengths)[lengths == np.median(lengths)]
    assert len(set(counts.tolist())) > 1


def test_words_begin_where_the_corpus_says() -> None:
    lengths = np.full(200, 42)
    ids = np.tile(np.array([CLS, *[WORDS[0]] * 40, SEP]), 200)
    starts = np.tile(np.array([True, *[True, False] * 20, True]), 200)
    masked = mask_all(ids, lengths, starts=starts, whole_words=True)
    chosen = np.zeros(len(ids), dtype=bool)
    chosen[masked.places] = True
    pairs = chosen.reshape(200, 42)[:, 1:-1].reshape(200, 20, 2)
    assert (pairs[..., 0] == pairs[..., 1]).all()
    assert (pairs[..., 0].sum(1) == 3).all()


def spans_of(options: dict[str, Any], *, count: int = 400, length: int = 200) -> tuple[NDArray[np.bool_], Masked]:
    """Chosen places, (count, length), of texts of words of one piece, without special tokens."""
    ids = np.full(count * length, WORDS[0])
    masked = mask_all(ids, np.full(count, length), **options)
    chosen = np.zeros(len(ids), dtype=bool)
    chosen[masked.places] = True
    return chosen.reshape(count, length), masked


def test_spans_have_the_lengths_of_a_clipped_geometric_distribution() -> None:
    # So few are chosen that hardly any two touch.
    chosen, _ = spans_of({"max_span": 10, "count": "independent", "probability": 0.01}, count=4000)
    edges = np.diff(np.pad(chosen, ((0, 0), (1, 1))).astype(int), axis=1)
    (_, first), (_, last) = np.nonzero(edges == 1), np.nonzero(edges == -1)
    sizes = (last - first)[(first > 0) & (last < chosen.shape[1])]
    shares = 0.2 * 0.8 ** np.arange(10)
    shares /= shares.sum()
    assert np.abs(np.bincount(sizes, minlength=11)[1:11] / len(sizes) - shares).max() < 0.03
    assert sizes.mean() == pytest.approx(3.8, abs=0.2)


def test_spans_fill_the_share_and_every_place_is_as_likely() -> None:
    chosen, _ = spans_of({"max_span": 10, "count": "google"}, count=3000, length=100)
    assert chosen.mean() == pytest.approx(0.15, abs=0.003)
    assert np.abs(chosen[:, 5:-5].mean(0) - 0.15).max() < 0.035


def test_a_span_has_one_fate() -> None:
    chosen, masked = spans_of({"max_span": 6, "count": "independent", "probability": 0.02})
    hidden = (masked.ids == MASK).reshape(chosen.shape)
    together = chosen[:, 1:] & chosen[:, :-1]
    assert (hidden[:, 1:] == hidden[:, :-1])[together].mean() > 0.98  # two spans may touch
    assert hidden[chosen].mean() == pytest.approx(0.8, abs=0.05)


def test_spans_end_at_special_tokens() -> None:
    ids, lengths = np.tile(np.array([CLS, WORDS[0], SEP, WORDS[0], SEP]), 500), np.full(500, 5)
    masked = mask_all(ids, lengths, max_span=10, probability=0.5)
    assert (counts_of(masked, lengths) == 1).all()


def test_random_words_are_ordinary_ones() -> None:
    assert not PIECES.is_special[PIECES.ordinary].any()
    tokens = TOKENIZER.convert_ids_to_tokens(PIECES.ordinary.tolist())
    assert not any(token.startswith("[unused") for token in tokens)
    ids, lengths = one_after_the_other(300, 60)
    masked = mask_all(ids, lengths, mask_share=0.0, random_share=1.0)
    assert np.isin(masked.ids[masked.places], PIECES.ordinary).all()


def test_types_of_ids_are_kept() -> None:
    ids, lengths = one_after_the_other(3, 20)
    assert mask_all(ids.astype(np.int32), lengths).ids.dtype == np.int32
