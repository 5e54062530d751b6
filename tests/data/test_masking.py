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
from plm.data.masking import Masking, Pieces, mask_tokens
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
        ({"probability": 0.0}, "probability: expected a share"),
        ({"probability": 1.5}, "probability: expected a share"),
        ({"mask_share": 0.9, "random_share": 0.2}, "leave 0 or more"),
        ({"mask_share": -0.1}, "leave 0 or more"),
        ({"seed": -1}, "seed: expected a number from 0"),
        ({"seed": 2**64}, "seed: expected a number from 0"),
    ):
        with pytest.raises(ConfigError, match=message):
            from_dict(Masking, options)  # type: ignore[arg-type]


def test_a_vocabulary_without_mask_token_is_refused() -> None:
    other = plm.AutoTokenizer.from_pretrained("plm/tiny-en")
    other.set_role("mask_token", None)
    with pytest.raises(TokenizerError, match="the vocabulary has no mask token"):
        Pieces(other)
