"""Features to padded tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from plm.data.features.classification import Feature
from plm.data.labels import Target
from plm.errors import ConfigError, DataError

Item = TypeVar("Item")


def pad_batch(
    features: Sequence[Feature], *, pad_token_id: int, pad_token_type_id: int = 0, multiple_of: int = 1
) -> dict[str, Tensor]:
    """The tensors of one batch, padded on the right to its longest text.

    multiple_of: the length is rounded up to a multiple of this, for kernels that like few or even shapes.
    Returns, each (batch, length), int64: input_ids, attention_mask (1 = token, 0 = padding) and, for models with token
    types, token_type_ids; labels, if there are any: (batch,), int64, for class indexes, (batch,), float32, for scores,
    (batch, classes), float32, for several labels; index: (batch,), int64, positions of the examples.
    Raises DataError for an empty batch, or when only some features have labels or token types.
    """
    if not features:
        raise DataError("a batch needs at least one feature")
    lengths = np.array([len(feature.input_ids) for feature in features])
    input_ids = pad_sequences([feature.input_ids for feature in features], value=pad_token_id, multiple_of=multiple_of)
    live = np.arange(input_ids.shape[1]) < lengths[:, None]
    batch = {"input_ids": input_ids, "attention_mask": torch.from_numpy(live.astype(np.int64))}
    types = _all_or_none([feature.token_type_ids for feature in features], "token_type_ids")
    if types is not None:
        batch["token_type_ids"] = pad_sequences(types, value=pad_token_type_id, multiple_of=multiple_of)
    targets: list[Target | None] = [feature.label for feature in features]
    labels: list[Target] | None = _all_or_none(targets, "labels")
    if labels is not None:
        dtype = torch.int64 if all(isinstance(label, int) for label in labels) else torch.float32
        batch["labels"] = torch.tensor(labels, dtype=dtype)
    batch["index"] = torch.tensor([feature.index for feature in features])
    return batch


def pad_sequences(rows: Sequence[Sequence[int]], *, value: int, multiple_of: int = 1) -> Tensor:
    """(rows, longest), int64: the rows, filled up on the right with `value`; longest rounded up to multiple_of."""
    if multiple_of < 1:
        raise ConfigError(f"multiple_of: expected a positive integer, got {multiple_of}")
    longest = max(map(len, rows))
    padded = np.full((len(rows), -(-longest // multiple_of) * multiple_of), value, dtype=np.int64)
    for target, row in zip(padded, rows, strict=True):
        target[: len(row)] = row
    return torch.from_numpy(padded)


def _all_or_none(items: list[Item | None], name: str) -> list[Item] | None:
    given = [item for item in items if item is not None]
    if given and len(given) != len(items):
        raise DataError(f"{len(given)} of {len(items)} features in a batch have {name}; all or none must have them")
    return given or None
