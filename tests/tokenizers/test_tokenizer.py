"""The tokenizer as users call it."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plm.errors import TokenizerError
from plm.tokenizers import Tokenizer

TEXT = st.text(st.sampled_from("aBc é.,'-中文字。 \n\t"), max_size=40)
SHARED_FIXTURES = [HealthCheck.function_scoped_fixture]


def test_a_tokenizer_needs_no_torch(uncased_file: Path) -> None:
    code = (
        "import sys; from plm.tokenizers import load_tokenizer; "
        f"load_tokenizer({str(uncased_file)!r})('hello', padding=True); "
        "print([name for name in ('torch', 'numpy', 'transformers') if name in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == "[]"


def test_a_pair_is_framed_with_types(uncased: Tokenizer) -> None:
    batch = uncased("hello world", "good")
    assert batch.tokens() == ["[CLS]", "hello", "world", "[SEP]", "good", "[SEP]"]
    assert batch["token_type_ids"] == [0, 0, 0, 0, 1, 1]
    assert uncased.encode("hello", "good", add_special_tokens=False) == uncased.convert_tokens_to_ids(["hello", "good"])


def test_padding_sides_lengths_and_multiples(uncased: Tokenizer) -> None:
    assert uncased(["a", "b c"], padding=True)["attention_mask"] == [[1, 1, 1, 0], [1, 1, 1, 1]]
    assert uncased(["a", "b c"], padding=True, padding_side="left")["attention_mask"] == [[0, 1, 1, 1], [1] * 4]
    assert len(uncased("a", padding="max_length", max_length=7)["input_ids"]) == 7
    assert len(uncased("a", padding=True, pad_to_multiple_of=8)["input_ids"]) == 8
    uncased.padding_side = "left"
    assert uncased("a", padding="max_length", max_length=4)["input_ids"][0] == uncased.pad_token_id


def test_truncation_strategies(uncased: Tokenizer) -> None:
    def tokens(strategy: str) -> list[str]:
        return uncased("a b c d", "e f", truncation=strategy, max_length=7).tokens()

    assert tokens("longest_first") == ["[CLS]", "a", "b", "[SEP]", "e", "f", "[SEP]"]
    assert tokens("only_first") == ["[CLS]", "a", "b", "[SEP]", "e", "f", "[SEP]"]
    assert uncased("a b", "c d e", truncation="only_second", max_length=6).tokens()[4:] == ["c", "[SEP]"]
    uncased.truncation_side = "left"
    assert uncased("a b c", max_length=3).tokens() == ["[CLS]", "c", "[SEP]"]


@given(words=st.integers(1, 60), room=st.integers(2, 12), stride=st.integers(0, 11))
@settings(deadline=None, max_examples=60, suppress_health_check=SHARED_FIXTURES)
def test_windows_cover_the_whole_text_and_overlap_by_the_stride(
    uncased: Tokenizer, words: int, room: int, stride: int
) -> None:
    if stride >= room:
        return
    text = " ".join(str(number) for number in range(10, 10 + words))
    whole = uncased.encode(text, add_special_tokens=False)
    batch = uncased(text, max_length=room + 2, stride=stride, return_overflowing_tokens=True)
    windows = [row[1:-1] for row in batch["input_ids"]]
    assert batch["overflow_to_sample_mapping"] == [0] * len(windows)
    joined = windows[0]
    for window in windows[1:]:
        assert joined[len(joined) - stride :] == window[:stride]
        joined = joined + window[stride:]
    assert joined == whole
    assert all(len(window) <= room for window in windows)


@given(st.lists(TEXT, min_size=1, max_size=4))
@settings(deadline=None, max_examples=60, suppress_health_check=SHARED_FIXTURES)
def test_a_batch_gives_what_single_calls_give(uncased: Tokenizer, gpt1: Tokenizer, texts: list[str]) -> None:
    for tokenizer in (uncased, gpt1):
        single = [tokenizer(text)["input_ids"] for text in texts]
        assert tokenizer(texts)["input_ids"] == single
        assert tokenizer.encode_batch_ids(texts)[0] == single
    padded = uncased(texts, padding=True)
    rows = zip(padded["input_ids"], padded["attention_mask"], strict=True)
    assert [[i for i, live in zip(row, mask, strict=True) if live] for row, mask in rows] == uncased(texts)["input_ids"]


@given(TEXT)
@settings(deadline=None, max_examples=80, suppress_health_check=SHARED_FIXTURES)
def test_offsets_are_spans_of_the_text_in_order(uncased: Tokenizer, gpt1: Tokenizer, text: str) -> None:
    for tokenizer in (uncased, gpt1):
        batch = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        offsets = batch["offset_mapping"]
        assert offsets == sorted(offsets)
        assert all(0 <= start < end <= len(text) for start, end in offsets)
        # a line end is a token of GPT-1, whose span may be a blank beside it
        assert all(text[start:end].strip() or "\n" in text[max(start - 1, 0) : end + 1] for start, end in offsets)


def test_the_fast_way_gives_ids_and_types(uncased: Tokenizer, gpt1: Tokenizer) -> None:
    ids, types = uncased.encode_batch_ids(["a b c", "d"], ["e", "f g h i"], max_length=6)
    full = uncased(["a b c", "d"], ["e", "f g h i"], max_length=6)
    assert (ids, types) == (full["input_ids"], full["token_type_ids"])
    assert gpt1.encode_batch_ids(["a b c"], max_length=2) == ([gpt1.encode("a b")], None)
    assert uncased.encode_batch_ids([]) == ([], [])


def test_special_tokens_in_a_text_are_plain_characters_unless_asked_for(uncased: Tokenizer) -> None:
    assert uncased.tokenize("[MASK] [SEP]") == ["[", "mask", "]", "[", "sep", "]"]
    uncased.parse_special_tokens = True
    assert uncased.tokenize("a [MASK] b") == ["a", "[MASK]", "b"]


def test_added_words_are_found_in_any_text(uncased: Tokenizer) -> None:
    assert uncased.add_tokens(["covid", "[E1]", "the"]) == 2
    assert uncased.encode("[E1] COVID", add_special_tokens=False) == uncased.convert_tokens_to_ids(["[E1]", "covid"])
    assert len(uncased) == 30524
    assert uncased.vocab_size == 30522


def test_special_tokens_have_names_ids_and_can_be_added(gpt1: Tokenizer, uncased: Tokenizer) -> None:
    assert (uncased.cls_token, uncased.cls_token_id) == ("[CLS]", 101)
    assert (uncased.bos_token, uncased.bos_token_id) == (None, None)
    assert uncased.all_special_ids == [0, 100, 101, 102, 103]
    assert uncased.num_special_tokens_to_add() == 2
    assert uncased.num_special_tokens_to_add(pair=True) == 3
    roles = {"bos_token": "<start>", "pad_token": "<pad>", "additional_special_tokens": ["<e1>"]}
    assert (gpt1.add_special_tokens(roles), len(gpt1), gpt1.vocab_size) == (3, 40481, 40478)
    assert (gpt1.bos_token_id, gpt1.pad_token_id, gpt1.convert_tokens_to_ids("<e1>")) == (40478, 40479, 40480)
    assert gpt1.add_special_tokens({"pad_token": "<pad>"}) == 0
    assert gpt1.all_special_tokens == ["<unk>", "<start>", "<pad>", "<e1>"]
    gpt1.eos_token = "<pad>"
    assert gpt1.eos_token_id == gpt1.pad_token_id
    assert gpt1.num_special_tokens_to_add(pair=True) == 0


def test_roles_are_checked(gpt1: Tokenizer) -> None:
    with pytest.raises(TokenizerError, match=r"pad_token: '<none>' is not in the vocabulary.*add_special_tokens"):
        gpt1.pad_token = "<none>"
    with pytest.raises(TokenizerError, match=r"'padd_token'.*did you mean 'pad_token'"):
        gpt1.add_special_tokens({"padd_token": "<pad>"})
    with pytest.raises(AttributeError, match="pad_token_id follows from pad_token"):
        gpt1.pad_token_id = 3


def test_another_frame_is_written_when_its_token_changes(uncased: Tokenizer) -> None:
    uncased.add_special_tokens({"cls_token": "[START]"})
    assert uncased("a").tokens() == ["[START]", "a", "[SEP]"]


def test_decoding_takes_lists_arrays_and_tensors(uncased: Tokenizer) -> None:
    ids = uncased.encode("Hello, it's me")
    for row in (ids, np.array(ids), torch.tensor(ids)):
        assert uncased.decode(row) == "[CLS] hello, it's me [SEP]"
        assert uncased.decode(row, skip_special_tokens=True) == "hello, it's me"
    assert uncased.decode(7592) == "hello"
    assert uncased.batch_decode(torch.tensor([ids, ids]), skip_special_tokens=True) == ["hello, it's me"] * 2
    assert uncased.decode(ids, True, False) == "hello, it ' s me"


def test_decoding_refuses_ids_that_are_none(uncased: Tokenizer) -> None:
    with pytest.raises(TokenizerError, match="id 30522: expected ids from 0 to 30521"):
        uncased.decode([101, 30522])
    with pytest.raises(TokenizerError, match="-100 marks labels to ignore"):
        uncased.decode([101, -100])
    with pytest.raises(TokenizerError, match="batch_decode takes several"):
        uncased.decode([[101], [102]])


@pytest.mark.parametrize("text", ["春眠不觉晓，处处闻啼鸟。", "他说：「你好！」", "《红楼梦》（上）"])
def test_chinese_comes_back_without_spaces(chinese: Tokenizer, text: str) -> None:
    assert chinese.decode(chinese.encode(text), skip_special_tokens=True) == text


def test_tokens_and_ids_convert_both_ways(uncased: Tokenizer) -> None:
    assert uncased.convert_tokens_to_ids("hello") == 7592
    assert uncased.convert_tokens_to_ids(["hello", "no such token"]) == [7592, 100]
    assert uncased.convert_ids_to_tokens(7592) == uncased.convert_ids_to_tokens(np.int64(7592)) == "hello"
    assert uncased.convert_ids_to_tokens(torch.tensor([7592, 99999])) == ["hello", None]
    assert uncased.vocab == uncased.get_vocab()
    assert uncased.vocab["hello"] == 7592


def test_copies_and_pickles_behave_the_same(uncased: Tokenizer, gpt1: Tokenizer) -> None:
    for tokenizer in (uncased, gpt1):
        tokenizer.add_tokens(["[E1]"])
        for twin in (copy.deepcopy(tokenizer), pickle.loads(pickle.dumps(tokenizer))):
            text = "[E1] Don’t [MASK]"
            assert twin(text, max_length=20) == tokenizer(text, max_length=20)


def test_threads_with_different_lengths_do_not_disturb_each_other(uncased: Tokenizer) -> None:
    def length(limit: int) -> bool:
        return len(uncased.encode("a " * 200, max_length=limit)) == limit

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(length, [5 + i % 90 for i in range(400)]))


def test_real_paragraphs_come_back_as_transformers_gives_them(
    uncased: Tokenizer, shared: Callable[[str], Path]
) -> None:
    transformers = pytest.importorskip("transformers")
    peer = transformers.BertTokenizer(str(shared("data/vocabs/bert-base-uncased-vocab.txt")))
    lines = shared("data/text_en/books.txt").read_text(encoding="utf-8").split("\n")[:300]
    for row in uncased.encode_batch_ids(lines)[0]:
        expected = peer.decode(row, skip_special_tokens=True, clean_up_tokenization_spaces=True)
        assert uncased.decode(row, skip_special_tokens=True) == expected


@pytest.mark.parametrize(
    "options",
    [
        {"padding": True},
        {"padding": "max_length", "max_length": 12, "truncation": True},
        {"padding": True, "pad_to_multiple_of": 8, "padding_side": "left"},
        {"truncation": "only_second", "max_length": 9, "stride": 2, "return_overflowing_tokens": True, "padding": True},
        {"truncation": True, "max_length": 7, "return_offsets_mapping": True, "return_special_tokens_mask": True},
        {"truncation": "only_second", "max_length": 6, "add_special_tokens": False},
        {"return_token_type_ids": False, "return_attention_mask": False},
    ],
)
@pytest.mark.parametrize("pairs", [False, True])
def test_a_call_gives_the_fields_and_values_of_transformers(
    uncased: Tokenizer, uncased_file: Path, options: dict[str, Any], pairs: bool
) -> None:
    transformers = pytest.importorskip("transformers")
    peer = transformers.BertTokenizer(str(uncased_file), do_lower_case=True)
    if not pairs and options.get("truncation") == "only_second":
        return
    texts = ["Hello there", "What now?", "A"]
    second = ["It was unaffable, they say, and more.", "one two three four five six seven", "b c d e f g"]
    arguments = (texts, second) if pairs else (second,)
    theirs, ours = peer(*arguments, **options), uncased(*arguments, **options)
    assert list(ours) == list(theirs)
    assert dict(ours) == dict(theirs)
    for row in range(len(ours.encodings)):
        assert (ours.tokens(row), ours.word_ids(row)) == (theirs.tokens(row), theirs.word_ids(row))
        assert ours.sequence_ids(row) == theirs.sequence_ids(row)
    assert [ours.char_to_token(0, i) for i in range(11)] == [theirs.char_to_token(0, i) for i in range(11)]
    single = {name: value for name, value in options.items() if name != "return_overflowing_tokens"}
    assert dict(uncased(*(a[0] for a in arguments), **single)) == dict(peer(*(a[0] for a in arguments), **single))
