"""Gathered texts are the tokens of the corpus in their frame; padded ones are the same, filled up."""

from __future__ import annotations

import numpy as np
import torch

from plm.corpus.flat import FlatBatch, gather, gather_plain

TOKENS = np.arange(100, 200).astype(np.uint16)


def test_two_parts_stand_between_special_tokens() -> None:
    starts, lengths = np.array([[0, 98], [40, 5]]), np.array([[2, 2], [1, 3]])
    texts = gather(TOKENS, starts, lengths, opening=1, closing=2)
    assert texts.ids.tolist() == [1, 100, 101, 2, 198, 199, 2, 1, 140, 2, 105, 106, 107, 2]
    assert texts.types.tolist() == [0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1]
    assert texts.lengths.tolist() == [7, 7]
    inner = texts.ids > 2
    assert (TOKENS[texts.source[inner]] == texts.ids[inner]).all()


def test_one_part_stands_between_special_tokens() -> None:
    texts = gather(TOKENS, np.array([[99], [0]]), np.array([[1], [2]]), opening=1, closing=2)
    assert texts.ids.tolist() == [1, 199, 2, 1, 100, 101, 2]
    assert not texts.types.any()
    assert texts.lengths.tolist() == [3, 4]


def test_plain_texts_are_the_tokens_alone() -> None:
    assert gather_plain(TOKENS, np.array([98, 3]), np.array([2, 1])).tolist() == [198, 199, 103]


def test_tensors_are_filled_up_to_the_longest_text() -> None:
    flat = FlatBatch(
        ids=np.array([1, 9, 2, 1, 4, 5, 2], dtype=np.int32),
        lengths=np.array([3, 4]),
        types=np.array([0, 0, 0, 0, 0, 1, 1], dtype=np.uint8),
        places=np.array([1, 5]),
        labels=np.array([7, 8], dtype=np.int32),
        next_sentence=np.array([True, False]),
        index=np.array([30, 4]),
    )
    batch = flat.tensors(pad_token_id=6)
    assert all(tensor.dtype == torch.int64 for tensor in batch.values())
    assert {name: tensor.tolist() for name, tensor in batch.items()} == {
        "input_ids": [[1, 9, 2, 6], [1, 4, 5, 2]],
        "attention_mask": [[1, 1, 1, 0], [1, 1, 1, 1]],
        "token_type_ids": [[0, 0, 0, 0], [0, 0, 1, 1]],
        "labels": [[-100, 7, -100, -100], [-100, -100, 8, -100]],
        "next_sentence_label": [1, 0],
        "index": [30, 4],
    }
