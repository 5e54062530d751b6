"""Masked words: which tokens of a text are hidden, and behind what. Source: Devlin et al. 2019, section 3.1.

Nothing is drawn from a generator that remembers: what is masked is a function of seed, epoch, example and position, so
every epoch masks anew (Liu et al. 2019, section 4.1), and the same example is masked alike in whatever batch it comes.

Texts come one after the other without padding: `ids` of all, and `lengths`. What is chosen is a unit: a token, a whole
word, or a span of words.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from plm.blocks.labels import IGNORED_LABEL
from plm.config import require_types
from plm.data.draws import Numbers, below, draws, happens, keys
from plm.data.units import filling, independent, running, shuffled, subset, within
from plm.errors import ConfigError, TokenizerError
from plm.tokenizers import Tokenizer

Ids = NDArray[np.int64]
Flags = NDArray[np.bool_]

# How WordPiece marks a piece that goes on with the word before it, and entries that no text has.
CONTINUES = "##"
_UNUSED = re.compile(r"\[unused\d+\]")

# What the random numbers of an example are for.
_UNITS, _SPANS, _FATES, _WORDS = range(4)


@dataclass(frozen=True, kw_only=True)
class Masking:
    """How much is masked, and how.

    probability: share of the tokens of a text that are to be predicted; 0 = none.
    mask_share: of those, how many become the mask token; random_share: how many another word; the rest stay.
    whole_words: True = pieces of a word (##, or what the corpus says) are masked together or not at all.
    seed: of everything random.
    count: "share" = that share of the tokens that are not special, at least one; the last word may exceed it.
        "google" = that share of all tokens, special ones too, at least one; a word that would exceed it is passed over.
        "independent" = each token, word or span for itself with this probability.
    max_predictions: never more than so many tokens of a text; not with "independent". None = no limit.
    max_span: words of the longest span; 1 = single words. More than 1 masks spans of whole words that have one fate:
        all pieces hidden, all replaced, or all left. Source: Joshi et al. 2020 (SpanBERT), section 3.1, with 10.
    span_stop: share of spans that end after their first word, of the longer ones after the second, and so on.
    """

    probability: float = 0.15
    mask_share: float = 0.8
    random_share: float = 0.1
    whole_words: bool = False
    seed: int = 42
    count: Literal["share", "google", "independent"] = "share"
    max_predictions: int | None = None
    max_span: int = 1
    span_stop: float = 0.2

    def __post_init__(self) -> None:
        require_types(self)
        if not 0.0 <= self.probability <= 1.0:
            raise ConfigError(f"probability: expected a share of the tokens from 0 to 1, got {self.probability}")
        if min(self.mask_share, self.random_share) < 0.0 or self.mask_share + self.random_share > 1.0:
            raise ConfigError(
                "mask_share and random_share: expected shares that leave 0 or more, got "
                f"{self.mask_share} and {self.random_share}"
            )
        if not 0 <= self.seed < 2**64:
            raise ConfigError(f"seed: expected a number from 0 to 2**64 - 1, got {self.seed}")
        if self.max_predictions is not None and (self.max_predictions < 1 or self.count == "independent"):
            raise ConfigError(
                f"max_predictions: expected 1 or more, and a count other than independent, got {self.max_predictions}"
            )
        if self.max_span < 1:
            raise ConfigError(f"max_span: expected 1 word or more, got {self.max_span}")
        if not 0.0 < self.span_stop < 1.0:
            raise ConfigError(f"span_stop: expected a share between 0 and 1, got {self.span_stop}")

    @property
    def chooses_tokens(self) -> bool:
        """True = an exact number of single tokens."""
        return self.count != "independent" and not self.whole_words and self.max_span == 1


class Pieces:
    """What masking has to know of a vocabulary.

    mask_id: of the mask token. is_special: (ids,), bool, True = never masked. continues: (ids,), bool, True = goes on
    with the word before. ordinary: ids that a random word is drawn from: neither special nor [unused1] and its like.
    Raises TokenizerError when there is no mask token.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        if tokenizer.mask_token_id is None:
            raise TokenizerError("the vocabulary has no mask token; only models such as BERT can fill masks")
        tokens = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
        self.mask_id: int = tokenizer.mask_token_id
        self.is_special: Flags = np.zeros(len(tokens), dtype=bool)
        self.is_special[tokenizer.all_special_ids] = True
        self.continues: Flags = np.array([token is not None and token.startswith(CONTINUES) for token in tokens])
        is_word = np.array([token is not None and not _UNUSED.fullmatch(token) for token in tokens])
        self.ordinary: Ids = np.flatnonzero(is_word & ~self.is_special)


class Masked(NamedTuple):
    """Texts with some tokens hidden.

    ids: (tokens,), of the type of those given. places: (masked,), int64, where something is to be predicted, rising.
    labels: (masked,), what stood there.
    """

    ids: NDArray[Any]
    places: Ids
    labels: NDArray[Any]


def mask_tokens(ids: Ids, live: Flags, *, index: Ids, epoch: int, masking: Masking, pieces: Pieces) -> tuple[Ids, Ids]:
    """The texts of a batch with some tokens hidden, and labels: (texts, length) both, -100 where nothing is hidden.

    ids: (texts, length), int64. live: the same shape, bool, False = padding. index: (texts,), number of each example.
    """
    flat = mask_flat(ids[live], live.sum(axis=1), index=index, epoch=epoch, masking=masking, pieces=pieces)
    masked, labels = ids.copy(), np.full_like(ids, IGNORED_LABEL)
    masked[live] = flat.ids
    labels.reshape(-1)[np.flatnonzero(live)[flat.places]] = flat.labels
    return masked, labels


def mask_flat(
    ids: NDArray[Any],
    lengths: Ids,
    *,
    index: Ids,
    epoch: int,
    masking: Masking,
    pieces: Pieces,
    starts: Flags | None = None,
) -> Masked:
    """The same for texts that stand one after the other.

    ids: (tokens,), of all texts. lengths: (texts,), special tokens included. index: (texts,), number of each example.
    starts: (tokens,), bool, True = a word begins here; None = words begin where the vocabulary has no ##.
    """
    able = np.flatnonzero(~pieces.is_special[ids])
    borders = np.searchsorted(able, np.append(0, np.cumsum(lengths)))
    key = keys(masking.seed, epoch, index)
    if masking.chooses_tokens:
        sizes = np.diff(borders)
        chosen = leaders = np.flatnonzero(subset(borders, _wanted(sizes, lengths, masking), draws(key, _UNITS)))
    else:
        begins = ~pieces.continues[ids[able]] if starts is None else starts[able]
        firsts = _units(able, borders, begins, masking, draws(key, _SPANS))
        chosen, leaders = _chosen(firsts, borders, lengths, masking, draws(key, _UNITS))
    places, text = able[chosen], np.repeat(np.arange(len(lengths)), np.diff(np.searchsorted(chosen, borders)))
    fates = draws(draws(key, _FATES)[text], leaders - borders[text])
    words = draws(draws(key, _WORDS)[text], chosen - borders[text])
    masked = ids.copy()
    masked[places] = _replaced(ids[places], fates, words, masking, pieces)
    return Masked(masked, places, ids[places])


def _wanted(able: Ids, lengths: Ids, masking: Masking) -> Ids:
    """(texts,): tokens that are to be predicted, of `able` ones."""
    if masking.probability == 0.0:
        return np.zeros_like(able)
    if masking.count == "google":
        share = np.rint(masking.probability * lengths)
    else:
        share = np.floor(masking.probability * able + 0.5)
    wanted: Ids = np.maximum(1, share.astype(np.int64))
    most = able if masking.max_predictions is None else np.minimum(able, masking.max_predictions)
    return np.minimum(wanted, most)


def _units(able: Ids, borders: Ids, begins: Flags, masking: Masking, key: Numbers) -> Ids:
    """The first of the able tokens of each unit: a token, a word, or a span of words; none goes on past a special one.

    able: places in the texts. begins: (able,), bool, True = a word begins here.
    """
    apart = np.empty_like(begins)
    apart[:1], apart[1:] = True, np.diff(able) != 1
    apart[borders[:-1][borders[:-1] < len(apart)]] = True
    if not (masking.whole_words or masking.max_span > 1):
        return np.arange(len(able))
    words = np.flatnonzero(begins | apart)
    if masking.max_span == 1:
        return words
    borders = np.searchsorted(words, borders)
    text, place = within(borders)
    spans = _spans(draws(key[text], place), masking)
    ends = running(spans, borders[:-1]) + borders[text]  # one span for each word is more than enough
    opens = apart[words]
    opens[ends[ends < borders[text + 1]]] = True
    return words[opens]


def _spans(numbers: Numbers, masking: Masking) -> Ids:
    """Words of a span: a geometric distribution, cut off after max_span."""
    shares = masking.span_stop * (1.0 - masking.span_stop) ** np.arange(masking.max_span)
    upto = np.cumsum(shares / shares.sum())[:-1]
    passed: Ids = np.searchsorted(upto, (numbers >> np.uint64(11)).astype(np.float64) * 2.0**-53, side="right")
    return passed + 1


def _chosen(firsts: Ids, borders: Ids, lengths: Ids, masking: Masking, key: Numbers) -> tuple[Ids, Ids]:
    """The able tokens of chosen units, rising, and for each the one that decides its fate."""
    sizes = np.diff(np.append(firsts, borders[-1]))
    of_text = np.searchsorted(firsts, borders)
    if masking.count == "independent":
        chosen = independent(of_text, masking.probability, key)
    else:
        wanted = _wanted(np.diff(borders), lengths, masking)
        order = shuffled(of_text, key)
        chosen = np.empty(len(sizes), dtype=bool)
        if masking.count == "google":
            chosen[order] = filling(of_text, sizes[order], wanted)
        else:
            upto, text = running(sizes[order], of_text[:-1]), within(of_text)[0]
            enough = upto - sizes[order] >= wanted[text]
            most = masking.max_predictions
            chosen[order] = ~enough if most is None else ~enough & (upto <= most)
    tokens = np.flatnonzero(np.repeat(chosen, sizes))
    return tokens, np.repeat(firsts[chosen], sizes[chosen]) if masking.max_span > 1 else tokens


def _replaced(ids: NDArray[Any], fates: Numbers, words: Numbers, masking: Masking, pieces: Pieces) -> NDArray[Any]:
    """What stands in place of chosen tokens."""
    other = pieces.ordinary[below(words, len(pieces.ordinary))]
    shown = np.where(happens(fates, masking.mask_share + masking.random_share), other, ids)
    shown[happens(fates, masking.mask_share)] = pieces.mask_id
    return shown
