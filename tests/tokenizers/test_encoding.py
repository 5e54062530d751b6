"""The batch that comes back: a dictionary that knows tokens, words and positions."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from plm.errors import TokenizerError
from plm.tokenizers import Tokenizer


def test_fields_have_the_order_that_users_know(uncased: Tokenizer, gpt1: Tokenizer) -> None:
    assert list(uncased("a")) == ["input_ids", "token_type_ids", "attention_mask"]
    assert list(gpt1("a")) == ["input_ids", "attention_mask"]
    everything = uncased(
        "a", return_offsets_mapping=True, return_special_tokens_mask=True, return_overflowing_tokens=True
    )
    assert list(everything)[3:] == ["special_tokens_mask", "offset_mapping", "overflow_to_sample_mapping"]
    assert list(uncased("a", return_token_type_ids=False, return_attention_mask=False)) == ["input_ids"]


def test_a_single_text_gives_flat_lists_and_a_batch_lists_of_lists(uncased: Tokenizer) -> None:
    assert uncased("hello")["input_ids"] == [101, 7592, 102]
    assert uncased(["hello"])["input_ids"] == [[101, 7592, 102]]
    assert uncased([])["input_ids"] == []
    assert uncased("")["input_ids"] == [101, 102]


def test_tensors_are_int64_with_a_row_for_each_text(uncased: Tokenizer) -> None:
    batch = uncased(["a", "b c"], padding=True, return_tensors="pt", return_offsets_mapping=True)
    assert batch["input_ids"].dtype == torch.int64
    assert batch["input_ids"].shape == (2, 4)
    assert batch["offset_mapping"].shape == (2, 4, 2)
    assert uncased("a", return_tensors="np").input_ids.shape == (1, 3)
    assert uncased("a", return_tensors="np")["input_ids"].dtype == np.int64


def test_a_batch_moves_to_a_device_and_unpacks(uncased: Tokenizer) -> None:
    batch = uncased("a", return_tensors="pt")
    assert batch.to("meta") is batch
    assert {value.device.type for value in dict(**batch).values()} == {"meta"}


def test_words_sequences_and_characters_of_tokens(uncased: Tokenizer) -> None:
    batch = uncased("unaffable man", "of steel", return_offsets_mapping=True)
    assert batch.tokens() == ["[CLS]", "una", "##ffa", "##ble", "man", "[SEP]", "of", "steel", "[SEP]"]
    assert batch.word_ids() == [None, 0, 0, 0, 1, None, 0, 1, None]
    assert batch.sequence_ids() == [None, 0, 0, 0, 0, None, 1, 1, None]
    assert batch["offset_mapping"][1:5] == [(0, 3), (3, 6), (6, 9), (10, 13)]
    assert batch.char_to_token(4) == batch.char_to_token(0, 4) == 2
    assert batch.char_to_token(0, 3, 1) == 7
    assert batch.char_to_token(9) is None


def test_words_that_come_split_keep_their_numbers(uncased: Tokenizer) -> None:
    batch = uncased([["New-York", "is"], ["big"]], is_split_into_words=True)
    assert batch.word_ids(0) == [None, 0, 0, 0, 1, None]
    assert batch.word_ids(1) == [None, 0, None]


def test_missing_fields_and_rows_are_explained(uncased: Tokenizer) -> None:
    batch = uncased("a")
    with pytest.raises(AttributeError, match=r"no field 'labels'; this batch has input_ids, token_type_ids"):
        batch.labels  # noqa: B018
    with pytest.raises(TokenizerError, match="row 1: this batch has 1 rows"):
        batch.tokens(1)


def test_a_batch_survives_pickling(uncased: Tokenizer, gpt1: Tokenizer) -> None:
    for tokenizer in (uncased, gpt1):
        batch = tokenizer(["They’re"], return_offsets_mapping=True)
        copy = pickle.loads(pickle.dumps(batch))
        assert copy == batch
        assert copy.tokens() == batch.tokens()
        assert copy.offsets() == batch["offset_mapping"][0]
