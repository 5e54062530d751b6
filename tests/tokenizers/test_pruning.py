"""Smaller vocabularies that split the texts they were made from as before."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plm.errors import TokenizerError
from plm.tokenizers import Tokenizer, count_tokens, load_tokenizer, prune_tokenizer

CORPUS = ["The unaffable man walked, and they're gone.", "Straße café 中文 3.14!", "", "walking walked talkers"]
WORDS = st.lists(st.sampled_from([*" ".join(CORPUS).split(), "unseen", "words", "zzz"]), max_size=12).map(" ".join)


@given(WORDS)
@settings(deadline=None, max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_text_is_split_as_before_when_its_tokens_are_kept(uncased: Tokenizer, gpt1: Tokenizer, text: str) -> None:
    for tokenizer in (uncased, gpt1):
        smaller, kept_ids = prune_tokenizer(tokenizer, count_tokens(tokenizer, [text]))
        assert smaller.tokenize(text) == tokenizer.tokenize(text)
        assert [kept_ids[id_] for id_ in smaller.encode(text)] == tokenizer.encode(text)


def test_kept_ids_give_the_rows_of_the_new_embedding_table(uncased: Tokenizer) -> None:
    smaller, kept_ids = prune_tokenizer(uncased, ["hello", "##ing"], keep_characters=False)
    assert kept_ids == [0, 100, 101, 102, 103, *sorted(uncased.convert_tokens_to_ids(["hello", "##ing"]))]
    assert len(smaller) == len(kept_ids) == 7
    assert smaller.convert_ids_to_tokens(list(range(7))) == uncased.convert_ids_to_tokens(kept_ids)
    assert smaller("hello").tokens() == ["[CLS]", "hello", "[SEP]"]
    assert smaller.encode("hello there") == [2, smaller.convert_tokens_to_ids("hello"), 1, 3]


def test_characters_keep_other_words_known(uncased: Tokenizer, gpt1: Tokenizer) -> None:
    for tokenizer in (uncased, gpt1):
        smaller, _ = prune_tokenizer(tokenizer, [])
        assert len(smaller) < len(tokenizer) / 3
        assert smaller.unk_token_id not in smaller.encode("entirely new words, 42 of them")


def test_rare_tokens_go_with_a_least_count(uncased: Tokenizer) -> None:
    counts = count_tokens(uncased, CORPUS)
    assert counts["walked"] == 2
    smaller, _ = prune_tokenizer(uncased, counts, min_count=2, keep_characters=False)
    assert smaller.tokenize("walked walking") == ["walked", "[UNK]"]


def test_merges_are_kept_back_to_their_characters(gpt1: Tokenizer) -> None:
    smaller, _ = prune_tokenizer(gpt1, ["walked</w>"], keep_characters=False)
    assert smaller.tokenize("walked") == ["walked</w>"]


def test_special_and_added_tokens_stay(gpt1: Tokenizer, uncased: Tokenizer) -> None:
    gpt1.add_special_tokens({"bos_token": "<start>", "pad_token": "<pad>"})
    smaller, kept_ids = prune_tokenizer(gpt1, [])
    assert kept_ids[-2:] == [40478, 40479]
    size = len(kept_ids)
    assert (smaller.bos_token_id, smaller.pad_token_id, len(smaller)) == (size - 2, size - 1, size)
    uncased.add_tokens(["[E1]"])
    smaller, kept_ids = prune_tokenizer(uncased, [])
    assert smaller.encode("[E1]", add_special_tokens=False) == [kept_ids.index(30522)]


def test_the_whole_vocabulary_may_be_kept(uncased: Tokenizer) -> None:
    smaller, kept_ids = prune_tokenizer(uncased, uncased.vocab)
    assert kept_ids == list(range(30522))
    assert smaller.get_vocab() == uncased.get_vocab()


def test_unknown_tokens_are_refused(uncased: Tokenizer) -> None:
    with pytest.raises(TokenizerError, match="keep: 2 tokens are not in the vocabulary, the first is 'Hello'"):
        prune_tokenizer(uncased, ["hello", "Hello", "World"])


def test_a_pruned_tokenizer_survives_saving(uncased: Tokenizer, gpt1: Tokenizer, tmp_path: Path) -> None:
    for name, tokenizer in (("bert", uncased), ("gpt1", gpt1)):
        smaller, _ = prune_tokenizer(tokenizer, count_tokens(tokenizer, CORPUS))
        smaller.save_pretrained(tmp_path / name)
        again = load_tokenizer(tmp_path / name)
        assert again.encode_batch_ids(CORPUS) == smaller.encode_batch_ids(CORPUS)
        assert len(again) == len(smaller)


def test_counts_leave_out_the_frame(uncased: Tokenizer) -> None:
    assert count_tokens(uncased, iter(["hello world", "hello"]), batch_size=1) == Counter({"hello": 2, "world": 1})
