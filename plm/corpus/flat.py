"""Texts of a batch one after the other, without padding: gathered from a corpus by offsets, and padded to tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plm.blocks.labels import IGNORED_LABEL

Ints = NDArray[np.int64]
Numbers = NDArray[Any]


@dataclass(frozen=True)
class Gathered:
    """Texts as they stand in a corpus, special tokens around and between their parts.

    ids: (tokens,), int32. types: (tokens,), uint8, 0 up to the special token after the first part, then 1.
    lengths: (texts,), special tokens included. source: (tokens,), place of each in the corpus; of special ones, any.
    """

    ids: NDArray[np.int32]
    types: NDArray[np.uint8]
    lengths: Ints
    source: Ints


@dataclass(frozen=True)
class FlatBatch:
    """Examples of a batch without padding.

    ids: (tokens,), int32, some hidden. lengths: (texts,). types: (tokens,), uint8; None for models without.
    places: (labels,), which tokens have a label. labels: (labels,). next_sentence: (texts,), 0 or 1; None without.
    index: (texts,), numbers of the examples.
    """

    ids: NDArray[np.int32]
    lengths: Ints
    types: NDArray[np.uint8] | None
    places: Ints
    labels: Numbers
    next_sentence: Numbers | None
    index: Ints

    def tensors(self, *, pad_token_id: int) -> dict[str, Tensor]:
        """Padded on the right to the longest text: input_ids, attention_mask, token_type_ids, labels, each (texts,
        longest), int64, labels -100 where there is none; next_sentence_label and index, (texts,), int64.
        """
        shape = (len(self.lengths), int(self.lengths.max()))
        live = np.arange(shape[1]) < self.lengths[:, None]
        batch = {"input_ids": _filled(live, self.ids, pad_token_id), "attention_mask": live.astype(np.int64)}
        if self.types is not None:
            batch["token_type_ids"] = _filled(live, self.types, 0)
        ends = np.cumsum(self.lengths)
        text = np.searchsorted(ends, self.places, side="right")
        batch["labels"] = np.full(shape, IGNORED_LABEL)
        batch["labels"][text, self.places - (ends - self.lengths)[text]] = self.labels
        if self.next_sentence is not None:
            batch["next_sentence_label"] = self.next_sentence.astype(np.int64)
        batch["index"] = self.index
        return {name: torch.from_numpy(values) for name, values in batch.items()}


def gather(tokens: Numbers, starts: Ints, lengths: Ints, *, opening: int, closing: int) -> Gathered:
    """[CLS] A [SEP], or [CLS] A [SEP] B [SEP].

    tokens: (tokens of the corpus,). starts, lengths: (texts, parts), of each part. opening, closing: special tokens.
    """
    count, parts = starts.shape
    # Each part is taken with the token before it, in whose place a special one is put; the last one stands alone.
    begin = np.concatenate([starts - 1, np.zeros((count, 1), dtype=np.int64)], axis=1).reshape(-1)
    size = np.concatenate([lengths + 1, np.ones((count, 1), dtype=np.int64)], axis=1).reshape(-1)
    ends = np.cumsum(size)
    first = ends - size
    source = np.arange(ends[-1])
    source += np.repeat(begin - first, size)
    ids = tokens.take(source, mode="clip").astype(np.int32)  # before the first token stands none
    special = first.reshape(count, parts + 1)
    ids[special[:, 0]], ids[special[:, 1:]] = opening, closing
    types = np.repeat(np.tile(np.array([0, 1, 1], dtype=np.uint8)[: parts + 1], count), size)
    types[special[:, 1]] = 0
    return Gathered(ids, types, size.reshape(count, -1).sum(axis=1), source)


def gather_plain(tokens: Numbers, start: Ints, length: Ints) -> NDArray[np.int32]:
    """The tokens of texts, without special ones."""
    before = np.cumsum(length) - length
    return tokens.take(np.repeat(start - before, length) + np.arange(length.sum())).astype(np.int32)


def _filled(live: NDArray[np.bool_], values: Numbers, padding: int) -> Ints:
    filled = np.full(live.shape, padding)
    filled[live] = values
    return filled
