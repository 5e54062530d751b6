"""Texts that are consecutive tokens: GPT-1's blocks, and texts of whole sentences for models of masked words alone.

Planned from lengths: where each text begins in the corpus, and how many tokens it has. Other borders in every epoch,
which follow from (seed, epoch, document).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plm.corpus.lanes import PLANS, cut_into_lanes, last_within, tokens_before
from plm.data.draws import below, draws, happens, keys, swapped
from plm.errors import ConfigError

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Stretches:
    """The texts of an epoch, (texts,), int64 each: the first token in the corpus, and how many."""

    start: Ints
    length: Ints

    def __len__(self) -> int:
        return len(self.start)


@dataclass(frozen=True, kw_only=True)
class StretchPlan:
    """Blocks of max_tokens consecutive tokens, as GPT-1 is trained on (Radford et al. 2018, section 4.1).

    across_documents: True = one stream of all documents; False = a block ends where its document ends.
    keep_short: True = what is left before the first and after the last whole block are texts too, if they have two
    tokens, of which the second can be predicted; False = whole blocks alone.
    A stream, or a document longer than a block, begins with a block that is cut at another place in every epoch.
    """

    max_tokens: int
    across_documents: bool = False
    keep_short: bool = True
    seed: int = 42

    def __post_init__(self) -> None:
        if self.max_tokens < 2:
            raise ConfigError(f"max_tokens: expected 2 or more, got {self.max_tokens}")
        _require_seed(self.seed)

    def stretches(self, documents: Ints, *, epoch: int) -> Stretches:
        """All blocks of an epoch. documents: (documents + 1, 2), as a Corpus has them."""
        borders = documents[[0, -1], 1] if self.across_documents else documents[:, 1]
        sizes, most = np.diff(borders), self.max_tokens
        shift = below(keys(PLANS, self.seed, epoch, np.arange(len(sizes))), most)
        shift[sizes <= most] = 0
        blocks = -(-(sizes + shift) // most)
        text = np.repeat(np.arange(len(sizes)), blocks)
        number = np.arange(len(text)) - np.repeat(np.cumsum(blocks) - blocks, blocks)
        start = (borders[:-1] - shift)[text] + number * most
        end = np.minimum(start + most, borders[1:][text])
        start = np.maximum(start, borders[:-1][text])
        kept = np.flatnonzero(end - start >= (2 if self.keep_short else most))
        return Stretches(start[kept], (end - start)[kept])


@dataclass(frozen=True, kw_only=True)
class SentencePlan:
    """As many whole sentences of one document as fit into max_tokens; a longer sentence is cut. No token is lost.

    short_probability: share of the texts that aim at a length drawn from 2 to max_tokens.
    Source: the DOC-SENTENCES of Liu et al. 2019 (RoBERTa), section 4.2.
    """

    max_tokens: int
    short_probability: float = 0.0
    seed: int = 42

    def __post_init__(self) -> None:
        if self.max_tokens < 2:
            raise ConfigError(f"max_tokens: expected 2 or more, got {self.max_tokens}")
        if not 0.0 <= self.short_probability <= 1.0:
            raise ConfigError(f"short_probability: expected a share from 0 to 1, got {self.short_probability}")
        _require_seed(self.seed)

    def stretches(self, ends: NDArray[Any], documents: Ints, *, epoch: int) -> Stretches:
        """All texts of an epoch. ends: as plm.corpus.lanes.sentence_ends says. documents: as a Corpus has them."""
        lanes = cut_into_lanes(documents, seed=self.seed, epoch=epoch)
        key, begin, end = lanes.key, tokens_before(ends, lanes.first), tokens_before(ends, lanes.end)
        starts, lengths, step = [], [], 0
        while len(begin):
            aim = draws(key, step)
            short = happens(aim, self.short_probability)
            most = np.where(short, 2 + below(swapped(aim), self.max_tokens - 1), self.max_tokens)
            border = tokens_before(ends, last_within(ends, begin + most))
            stop = np.minimum(np.where(border > begin, border, begin + most), end)
            starts.append(begin)
            lengths.append(stop - begin)
            rest = np.flatnonzero(stop < end)
            key, begin, end, step = key[rest], stop[rest], end[rest], step + 1
        return Stretches(np.concatenate(starts), np.concatenate(lengths))


def _require_seed(seed: int) -> None:
    if not 0 <= seed < 2**64:
        raise ConfigError(f"seed: expected a number from 0 to 2**64 - 1, got {seed}")
