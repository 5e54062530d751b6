"""Batches of similar lengths, packed or padded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from plm.backends.runner import Arrays
from plm.data.collate import pad_sequences

Array = np.ndarray[Any, Any]

# Rows that keep the matrix kernels busy and the activations of a BERT-base block in the caches of one core.
TOKENS_PER_BATCH = 2048


@dataclass(frozen=True)
class Encoded:
    """Texts as rows of ids. types: token types alike, or None for models without."""

    ids: list[list[int]]
    types: list[list[int]] | None

    def lengths(self, places: Sequence[int]) -> list[int]:
        """Tokens of some texts."""
        return [len(self.ids[place]) for place in places]

    def packed(self, places: Sequence[int]) -> Arrays:
        """Some texts, one after the other, as Runner.run takes them."""
        batch = {"input_ids": _joined(self.ids, places), "lengths": np.array(self.lengths(places), dtype=np.int64)}
        return batch if self.types is None else batch | {"token_type_ids": _joined(self.types, places)}

    def padded(self, places: Sequence[int], pad: int) -> Arrays:
        """Some texts, one below the other, filled up with `pad`."""
        lengths = np.array(self.lengths(places))
        batch = {
            "input_ids": pad_sequences([self.ids[place] for place in places], value=pad).numpy(),
            "attention_mask": (np.arange(lengths.max()) < lengths[:, None]).astype(np.int64),
        }
        if self.types is not None:
            batch["token_type_ids"] = pad_sequences([self.types[place] for place in places], value=0).numpy()
        return batch


def batches_by_length(lengths: Sequence[int], tokens: int) -> Iterator[list[int]]:
    """Places of texts, longest first, in batches of about `tokens` tokens; a longer text is a batch of its own.

    Equal lengths end up side by side, which packed attention computes as one rectangle.
    """
    batch: list[int] = []
    total = 0
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        if batch and total + lengths[place] > tokens:
            yield batch
            batch, total = [], 0
        batch.append(place)
        total += lengths[place]
    if batch:
        yield batch


def _joined(rows: list[list[int]], places: Sequence[int]) -> Array:
    return np.concatenate([np.array(rows[place], dtype=np.int64) for place in places])
