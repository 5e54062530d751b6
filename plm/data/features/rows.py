"""Features of several texts that belong together: the options of a question, the candidates of a query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from plm.blocks.labels import IGNORED_LABEL
from plm.errors import DataError


@dataclass(frozen=True, slots=True)
class RowsFeature:
    """Some texts as a model sees them at once, unpadded.

    input_ids, token_type_ids: one list for each text; no types for models without.
    label: index of the right text; or a tuple with a label for each; None = unlabelled.
    index: position among the features.
    """

    input_ids: list[list[int]]
    token_type_ids: list[list[int]] | None
    label: int | tuple[int, ...] | None
    index: int

    @property
    def tokens(self) -> int:
        """Positions that the texts take, padded to the longest of them."""
        return len(self.input_ids) * max(map(len, self.input_ids))


def pad_rows(features: Sequence[RowsFeature], *, pad_token_id: int, pad_token_type_id: int = 0) -> dict[str, Tensor]:
    """The tensors of one batch, padded on the right to its longest text and to the largest number of texts.

    Returns, each (batch, texts, length), int64: input_ids, attention_mask (all 0 for texts that are not there) and,
    for models with token types, token_type_ids; labels, if there are any: (batch,), int64, the right texts, or
    (batch, texts), int64, -100 where there is no text; index: (batch,), int64.
    Raises DataError for an empty batch, or when only some features have labels or token types.
    """
    if not features:
        raise DataError("a batch needs at least one feature")
    rows = max(len(feature.input_ids) for feature in features)
    length = max(len(ids) for feature in features for ids in feature.input_ids)
    shape = (len(features), rows, length)
    batch = {
        "input_ids": _filled(shape, [feature.input_ids for feature in features], pad_token_id),
        "attention_mask": _filled(shape, [[[1] * len(ids) for ids in feature.input_ids] for feature in features], 0),
    }
    types = [feature.token_type_ids for feature in features if feature.token_type_ids is not None]
    labels = [feature.label for feature in features if feature.label is not None]
    for name, given in (("token types", types), ("labels", labels)):
        if given and len(given) != len(features):
            raise DataError(f"{len(given)} of {len(features)} features in a batch have {name}; all or none must")
    if types:
        batch["token_type_ids"] = _filled(shape, types, pad_token_type_id)
    if labels:
        batch["labels"] = _labels(labels, rows)
    batch["index"] = torch.tensor([feature.index for feature in features])
    return batch


def _filled(shape: tuple[int, int, int], texts: Sequence[Sequence[Sequence[int]]], value: int) -> Tensor:
    values = np.full(shape, value, dtype=np.int64)
    for place, feature in enumerate(texts):
        for row, ids in enumerate(feature):
            values[place, row, : len(ids)] = ids
    return torch.from_numpy(values)


def _labels(labels: Sequence[int | tuple[int, ...]], rows: int) -> Tensor:
    filled = [label if isinstance(label, int) else (*label, *[IGNORED_LABEL] * (rows - len(label))) for label in labels]
    return torch.tensor(filled)
