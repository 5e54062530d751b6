"""Masked words: which tokens of a text are hidden, and behind what. Source: Devlin et al. 2019, section 3.1.

Nothing is drawn from a generator that remembers: what is masked is a function of seed, epoch, example and position, so
every epoch masks anew (Liu et al. 2019, section 4.1), and the same example is masked alike in whatever batch it comes.

Texts come one after the other without padding: `ids` of all, and `lengths`. What is chosen is a unit: a token, a whole
word, or a span of words.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from plm.blocks.labels import IGNORED_LABEL
from plm.config import require_types
from plm.data.draws import Numbers, below, draws, happens, keys, swapped
from plm.data.units import filling, independent, subset
from plm.errors import ConfigError, TokenizerError
from plm.tokenizers import Tokenizer

Ids = NDArray[np.int64]
Flags = NDArray[np.bool_]

# How WordPiece marks a piece that goes on with the word before it, and entries that no text has.
CONTINUES = "##"
_UNUSED = re.compile(r"\[unused\d+\]")

# What a token is to the words of a text.
_SPECIAL, _BEGINS, _CONTINUES = np.arange(3, dtype=np.uint8)

# What the random numbers of an example are for.
_UNITS, _SPANS, _TOKENS = range(3)


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
    with the word before. roles: (ids,), both in one. ordinary: ids that a random word is drawn from: neither special
    nor [unused1] and its like.
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
        self.roles: NDArray[np.uint8] = np.where(
            self.is_special, _SPECIAL, np.where(self.continues, _CONTINUES, _BEGINS)
        )
        is_word = np.array([token is not None and not _UNUSED.fullmatch(token) for token in tokens])
        self.ordinary: Ids = np.flatnonzero(is_word & ~self.is_special)


class _Units(NamedTuple):
    """Tokens, words or spans that may be masked, rising: where each begins, and how many tokens it has.

    borders: (texts + 1,), the units of text n are those from borders[n] to borders[n + 1] - 1.
    """

    first: Ids
    size: Ids
    borders: Ids


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
    texts = np.append(0, np.cumsum(lengths))
    roles = pieces.roles.take(ids)
    able = roles != _SPECIAL
    key = draws(_epoch_key(masking.seed, epoch), index)
    if masking.whole_words or masking.max_span > 1:
        apart = _apart(able, texts)
        begins = apart | (roles == _BEGINS if starts is None else able & starts)
        if masking.max_span > 1:
            begins = _span_begins(begins, apart, texts, masking, draws(key, _SPANS))
        units = _units(begins, able, texts)
    else:
        units = _tokens(able, texts)
    sizes = lengths - np.diff(np.searchsorted(np.flatnonzero(~able), texts))
    chosen = np.flatnonzero(_chosen(units, sizes, lengths, masking, draws(key, _UNITS)))
    size = units.size[chosen]
    before = np.cumsum(size) - size
    places = np.repeat(units.first[chosen] - before, size) + np.arange(size.sum())
    text = np.repeat(np.arange(len(lengths)), np.diff(np.searchsorted(places, texts)))
    numbers = draws(draws(key, _TOKENS)[text], places - texts[text])
    fates = np.repeat(numbers[before], size) if masking.max_span > 1 else numbers
    masked = ids.copy()
    masked[places] = _replaced(ids[places], fates, swapped(numbers), masking, pieces)
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


@lru_cache(maxsize=8)
def _epoch_key(seed: int, epoch: int) -> Numbers:
    return keys(seed, epoch)


def _apart(able: Flags, texts: Ids) -> Flags:
    """(tokens,), True = may be masked, and what stands before it may not, or belongs to another text.

    able: (tokens,), True = may be masked. texts: (texts + 1,), borders of the texts.
    """
    apart = able.copy()
    apart[1:] &= ~able[:-1]
    openings = texts[texts < len(able)]
    apart[openings] = able[openings]
    return apart


def _tokens(able: Flags, texts: Ids) -> _Units:
    """Each token that may be masked for itself."""
    first = np.flatnonzero(able)
    return _Units(first, np.ones_like(first), np.searchsorted(first, texts))


def _units(begins: Flags, able: Flags, texts: Ids) -> _Units:
    """Units, each up to the next one, or to what may not be masked. begins: (tokens,), True = a unit begins here."""
    ends = able.copy()
    ends[:-1] &= begins[1:] | ~able[1:]
    first, size = np.flatnonzero(begins), np.flatnonzero(ends)
    size -= first
    size += 1
    return _Units(first, size, np.searchsorted(first, texts))


def _span_begins(words: Flags, apart: Flags, texts: Ids, masking: Masking, key: Numbers) -> Flags:
    """(tokens,), True = a span begins here. words, apart: (tokens,), True = a word begins here; a span has to."""
    first, begins = np.flatnonzero(words), apart.copy()
    begins[first[_span_borders(np.searchsorted(first, texts), masking, key)]] = True
    return begins


def _span_borders(words: Ids, masking: Masking, key: Numbers) -> Ids:
    """The words that spans begin with, but for the first of each text. words: (texts + 1,), the borders of texts."""
    lengths, mean = _span_lengths(masking.max_span, masking.span_stop)
    reached, end = words[:-1, None], words[1:, None]
    drawn, found = 0, [words[:0]]
    while (missing := int((end - reached).max(initial=0))) > 0:
        step = np.arange(drawn, drawn + int(1.3 * missing / mean / 4) + 2)
        numbers = draws(key[:, None], step).astype("<u8", copy=False)
        border = np.cumsum(lengths.take(numbers.view("<u2")), axis=1)  # four spans of each number
        border += reached
        found.append(border[border < end])
        reached, drawn = border[:, -1:], drawn + len(step)
    return np.concatenate(found)


@lru_cache(maxsize=8)
def _span_lengths(longest: int, stop: float) -> tuple[Ids, float]:
    """(2**16,): words of the span that each random number of 16 bits stands for; and their mean.

    A geometric distribution, clipped.
    """
    shares = stop * (1.0 - stop) ** np.arange(longest)
    upto = np.cumsum(shares / shares.sum())[:-1]
    lengths = np.searchsorted(upto, (np.arange(1 << 16) + 0.5) / (1 << 16), side="right") + 1
    return lengths, float(lengths.mean())


def _chosen(units: _Units, sizes: Ids, lengths: Ids, masking: Masking, key: Numbers) -> Flags:
    """(units,), True = masked. sizes: (texts,), tokens that may be masked."""
    if masking.count == "independent":
        return independent(units.borders, masking.probability, key)
    wanted = _wanted(sizes, lengths, masking)
    if masking.chooses_tokens:
        return subset(units.borders, wanted, key)
    if masking.count == "google":
        limit = wanted
    else:
        limit = lengths if masking.max_predictions is None else np.full_like(wanted, masking.max_predictions)
    return filling(units.borders, units.size, wanted, key, limit=limit)


def _replaced(ids: NDArray[Any], fates: Numbers, words: Numbers, masking: Masking, pieces: Pieces) -> NDArray[Any]:
    """What stands in place of chosen tokens."""
    other = pieces.ordinary[below(words, len(pieces.ordinary))]
    shown = np.where(happens(fates, masking.mask_share + masking.random_share), other, ids)
    shown[happens(fates, masking.mask_share)] = pieces.mask_id
    return shown
