"""Batches are padded on the right, and say what is padding."""

from __future__ import annotations

import pytest
import torch

from plm.data.collate import pad_batch, pad_sequences
from plm.data.features.classification import Feature
from plm.data.labels import Target
from plm.errors import ConfigError, DataError


def feature(length: int, *, label: Target | None = None, types: bool = True, index: int = 0) -> Feature:
    return Feature(list(range(1, length + 1)), [1] * length if types else None, label, index)


def test_batches_are_padded_to_their_longest_text() -> None:
    batch = pad_batch([feature(2, index=7), feature(3, index=4)], pad_token_id=9, pad_token_type_id=5)
    assert batch["input_ids"].tolist() == [[1, 2, 9], [1, 2, 3]]
    assert batch["attention_mask"].tolist() == [[1, 1, 0], [1, 1, 1]]
    assert batch["token_type_ids"].tolist() == [[1, 1, 5], [1, 1, 1]]
    assert batch["index"].tolist() == [7, 4]
    assert all(tensor.dtype == torch.int64 for tensor in batch.values())


def test_the_mask_marks_padding_even_if_the_padding_token_stands_in_the_text() -> None:
    batch = pad_batch([Feature([9, 9], None, None, 0), Feature([9, 1, 1], None, None, 1)], pad_token_id=9)
    assert batch["attention_mask"].tolist() == [[1, 1, 0], [1, 1, 1]]


@pytest.mark.parametrize(
    ("labels", "dtype", "shape"),
    [
        ((1, 0), torch.int64, (2,)),
        ((1.0, 0.5), torch.float32, (2,)),
        (((1.0, 0.0, 1.0), (0.0, 0.0, 0.0)), torch.float32, (2, 3)),
    ],
)
def test_labels_get_the_type_of_their_task(labels: tuple[Target, Target], dtype: torch.dtype, shape: object) -> None:
    batch = pad_batch([feature(2, label=labels[0]), feature(2, label=labels[1])], pad_token_id=0)
    assert batch["labels"].dtype == dtype
    assert tuple(batch["labels"].shape) == shape


def test_what_features_lack_the_batch_lacks() -> None:
    assert set(pad_batch([feature(2, types=False)], pad_token_id=0)) == {"input_ids", "attention_mask", "index"}


def test_mixed_features_are_refused() -> None:
    with pytest.raises(DataError, match="1 of 2 features in a batch have labels"):
        pad_batch([feature(2, label=1), feature(2)], pad_token_id=0)
    with pytest.raises(DataError, match="1 of 2 features in a batch have token_type_ids"):
        pad_batch([feature(2), feature(2, types=False)], pad_token_id=0)
    with pytest.raises(DataError, match="at least one"):
        pad_batch([], pad_token_id=0)


def test_lengths_are_rounded_up_when_asked() -> None:
    assert pad_sequences([[1], [1, 2, 3]], value=0, multiple_of=4).shape == (2, 4)
    assert pad_sequences([[1] * 4], value=0, multiple_of=4).shape == (1, 4)
    with pytest.raises(ConfigError, match="multiple_of"):
        pad_sequences([[1]], value=0, multiple_of=0)
