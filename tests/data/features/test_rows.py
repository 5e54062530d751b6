"""Several texts a feature become tensors with a dimension for them, padded in both directions."""

from __future__ import annotations

import pytest
import torch

from plm.data.features.rows import RowsFeature, pad_rows
from plm.errors import DataError


def feature(
    index: int, *rows: list[int], label: int | tuple[int, ...] | None = None, types: bool = False
) -> RowsFeature:
    return RowsFeature(list(rows), [[1] * len(row) for row in rows] if types else None, label, index)


def test_texts_and_lengths_are_padded_and_absent_texts_have_no_live_token() -> None:
    batch = pad_rows(
        [feature(4, [5], [6, 7, 8], types=True), feature(2, [9, 9], [1], [2], types=True)], pad_token_id=99
    )
    assert batch["input_ids"].tolist() == [
        [[5, 99, 99], [6, 7, 8], [99, 99, 99]],
        [[9, 9, 99], [1, 99, 99], [2, 99, 99]],
    ]
    assert batch["attention_mask"].sum(-1).tolist() == [[1, 3, 0], [2, 1, 1]]
    assert torch.equal(batch["token_type_ids"], batch["attention_mask"])
    assert batch["index"].tolist() == [4, 2]
    assert "labels" not in batch


def test_labels_are_one_right_text_or_one_number_each() -> None:
    one = pad_rows([feature(0, [1], [2], label=1), feature(1, [1], [2], [3], label=2)], pad_token_id=0)
    assert one["labels"].tolist() == [1, 2]
    each = pad_rows([feature(0, [1], [2], label=(0, 3)), feature(1, [1], [2], [3], label=(1, 0, 2))], pad_token_id=0)
    assert each["labels"].tolist() == [[0, 3, -100], [1, 0, 2]]


def test_a_feature_costs_all_its_texts_at_the_length_of_the_longest() -> None:
    assert feature(0, [1], [1, 2, 3], [1, 2]).tokens == 9


def test_half_labelled_batches_are_refused() -> None:
    with pytest.raises(DataError, match="1 of 2 features in a batch have labels; all or none must"):
        pad_rows([feature(0, [1], label=0), feature(1, [1])], pad_token_id=0)
    with pytest.raises(DataError, match="1 of 2 features in a batch have token types"):
        pad_rows([feature(0, [1], types=True), feature(1, [1])], pad_token_id=0)
    with pytest.raises(DataError, match="at least one feature"):
        pad_rows([], pad_token_id=0)
