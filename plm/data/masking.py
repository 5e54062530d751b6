"""Masked words: which tokens of a text are hidden, and behind what. Source: Devlin et al. 2019, section 3.1.

Nothing is drawn from a generator that remembers: what is masked is a function of seed, epoch, example and position, so
every epoch masks anew (Liu et al. 2019, section 4.1), and the same example is masked alike in whatever batch it comes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plm.blocks.labels import IGNORED_LABEL
from plm.config import require_types
from plm.errors import ConfigError, TokenizerError
from plm.tokenizers import Tokenizer

Ids = NDArray[np.int64]
Flags = NDArray[np.bool_]

# How WordPiece marks a piece that goes on with the word before it.
CONTINUES = "##"


@dataclass(frozen=True, kw_only=True)
class Masking:
    """How much is masked, and how.

    probability: share of the ordinary tokens of a text that are to be predicted, at least one of them.
    mask_share: of those, how many become the mask token; random_share: how many another word; the rest stay.
    whole_words: True = pieces of a word (##) are masked together or not at all, so that a few more may be masked.
    seed: of everything random.
    """

    probability: float = 0.15
    mask_share: float = 0.8
    random_share: float = 0.1
    whole_words: bool = False
    seed: int = 42

    def __post_init__(self) -> None:
        require_types(self)
        if not 0.0 < self.probability <= 1.0:
            raise ConfigError(
                f"probability: expected a share of the tokens above 0 and up to 1, got {self.probability}"
            )
        if min(self.mask_share, self.random_share) < 0.0 or self.mask_share + self.random_share > 1.0:
            raise ConfigError(
                "mask_share and random_share: expected shares that leave 0 or more, got "
                f"{self.mask_share} and {self.random_share}"
            )
        if not 0 <= self.seed < 2**64:
            raise ConfigError(f"seed: expected a number from 0 to 2**64 - 1, got {self.seed}")


class Pieces:
    """What masking has to know of a vocabulary.

    mask_id: of the mask token. is_special: (ids,), bool, True = never masked. continues: (ids,), bool, True = goes on
    with the word before. ordinary: ids that a random word is drawn from.
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
        self.ordinary: Ids = np.flatnonzero(~self.is_special)


def mask_tokens(ids: Ids, live: Flags, *, index: Ids, epoch: int, masking: Masking, pieces: Pieces) -> tuple[Ids, Ids]:
    """The texts of a batch with some tokens hidden, and labels: (texts, length) both, -100 where nothing is hidden.

    ids: (texts, length), int64. live: the same shape, bool, False = padding. index: (texts,), number of each example.
    """
    candidates = live & ~pieces.is_special[ids]
    starts = _word_starts(ids, candidates, pieces) if masking.whole_words else _every_token(ids)
    randoms = [_random(ids.shape, masking.seed, epoch, index, stream) for stream in range(3)]
    chosen = _chosen(candidates, np.take_along_axis(randoms[0], starts, axis=1), masking.probability)
    fate = (randoms[1] >> np.uint64(11)) * 2.0**-53  # in [0, 1)
    words = pieces.ordinary[randoms[2] % np.uint64(len(pieces.ordinary))]
    masked = np.where(chosen & (fate < masking.mask_share + masking.random_share), words, ids)
    masked = np.where(chosen & (fate < masking.mask_share), pieces.mask_id, masked)
    return masked, np.where(chosen, ids, IGNORED_LABEL)


def _every_token(ids: Ids) -> Ids:
    return np.broadcast_to(np.arange(ids.shape[1]), ids.shape)


def _word_starts(ids: Ids, candidates: Flags, pieces: Pieces) -> Ids:
    """(texts, length), the position where the word of each token starts."""
    goes_on = pieces.continues[ids] & candidates
    goes_on[:, 1:] &= candidates[:, :-1]
    goes_on[:, 0] = False
    return np.maximum.accumulate(np.where(goes_on, 0, _every_token(ids)), axis=1)


def _chosen(candidates: Flags, keys: NDArray[np.uint64], probability: float) -> Flags:
    """Words in the order of their keys, until the share of tokens is reached; tokens of a word have the same key."""
    wanted = np.maximum(1, np.floor(probability * candidates.sum(axis=1) + 0.5))
    order = np.lexsort((keys, ~candidates))
    sorted_keys, places = np.take_along_axis(keys, order, axis=1), _every_token(order)
    is_new = np.ones_like(candidates)
    is_new[:, 1:] = sorted_keys[:, 1:] != sorted_keys[:, :-1]
    before = np.maximum.accumulate(np.where(is_new, places, 0), axis=1)  # tokens of the words before
    chosen = np.empty_like(candidates)
    np.put_along_axis(chosen, order, before < wanted[:, None], axis=1)
    return chosen & candidates


def _random(shape: tuple[int, ...], seed: int, epoch: int, index: Ids, stream: int) -> NDArray[np.uint64]:
    """A number for each token: SplitMix64's finalizer (Steele, Lea and Flood 2014) over all that it depends on."""
    state = np.zeros((1, 1), dtype=np.uint64)
    for value in (seed, epoch, stream, index[:, None], np.arange(shape[1])):
        steps = np.atleast_2d(value).astype(np.uint64) + np.uint64(1)  # arrays wrap around, single numbers warn
        state = _stirred(state + np.uint64(0x9E3779B97F4A7C15) * steps)
    return state


def _stirred(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))
