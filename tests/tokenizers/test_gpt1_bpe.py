"""GPT-1's byte pairs with the words of OpenAI and with those of transformers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from plm.tokenizers import Tokenizer, load_tokenizer


def test_ids_equal_those_of_openai(gpt1: Tokenizer, golden: Callable[[str], list[dict[str, Any]]]) -> None:
    cases = golden("openai_tokens.json")
    assert len(cases) == 441
    ids, types = gpt1.encode_batch_ids([case["text"] for case in cases])
    assert [case["text"] for case, row in zip(cases, ids, strict=True) if row != case["ids"]] == []
    assert types is None


def test_ids_equal_those_of_openai_on_the_full_set(shared: Callable[[str], Path]) -> None:
    cases = json.loads(shared("golden/gpt1_tokens.json").read_text(encoding="utf-8"))
    tokenizer = load_tokenizer(shared("data/vocabs/gpt1"), pretokenizer="openai")
    ids, _ = tokenizer.encode_batch_ids([case["text"] for case in cases])
    assert sum(row == case["ids"] for case, row in zip(cases, ids, strict=True)) == len(cases) == 615


def test_the_vocabulary_of_the_fixture_is_openais(gpt1_folder: Path, shared: Callable[[str], Path]) -> None:
    original = shared("data/vocabs/gpt1/encoder_bpe_40000.json").read_text(encoding="utf-8")
    assert json.loads((gpt1_folder / "encoder_bpe_40000.json").read_text(encoding="utf-8")) == json.loads(original)


@pytest.mark.parametrize(
    ("text", "openai", "bert"),
    [
        ("don't", "do n't", "don ' t"),
        ("wait...", "wait ...", "wait . . ."),
        ("café", "café", "cafe"),
        ("a\nb", "a \n b", "a b"),
    ],
)
def test_the_two_kinds_of_words_differ_where_they_should(gpt1_folder: Path, text: str, openai: str, bert: str) -> None:
    for kind, words in (("openai", openai), ("bert", bert)):
        tokenizer = load_tokenizer(gpt1_folder, pretokenizer=kind)  # type: ignore[arg-type]
        assert tokenizer.decode(tokenizer.encode(text)) == words


def test_line_breaks_unknown_and_single_characters_have_their_own_ids(gpt1: Tokenizer) -> None:
    assert gpt1.encode("a\n\nb") == [246, 40477, 259]
    assert gpt1.encode("日本") == [0, 0]
    assert gpt1.convert_ids_to_tokens([246, 40477, 0]) == ["a</w>", "\n</w>", "<unk>"]


def test_decoding_joins_words_with_spaces(gpt1: Tokenizer) -> None:
    ids = gpt1.encode("He isn't unaffable, they said.")
    assert gpt1.decode(ids) == "he is n't unaffable , they said ."
    assert gpt1.decode(ids, clean_up_tokenization_spaces=True) == "he isn't unaffable, they said."


def test_offsets_point_into_the_original_text(gpt1: Tokenizer) -> None:
    text = "They’re “fine”…\r\nMr. O'Neil—café &amp; co"
    batch = gpt1(text, return_offsets_mapping=True)
    spans = [text[start:end] for start, end in batch["offset_mapping"]]
    found = list(zip(batch.tokens(), spans, strict=True))
    assert found[:7] == [
        ("they</w>", "They"),
        ("'re</w>", "’re"),
        ('"</w>', "“"),
        ("fine</w>", "fine"),
        ('"</w>', "”"),
        ("...</w>", "…"),
        ("\n</w>", "\r\n"),
    ]
    assert found[-4:] == [("-</w>", "—"), ("café</w>", "café"), ("&</w>", "&amp;"), ("co</w>", "co")]
    assert batch.char_to_token(text.index("café")) == len(found) - 3
    assert batch.char_to_token(text.index(" “")) is None


def test_words_that_come_split_keep_their_numbers(gpt1: Tokenizer) -> None:
    batch = gpt1(["They're", "fine…"], is_split_into_words=True, return_offsets_mapping=True)
    assert batch.tokens() == ["they</w>", "'re</w>", "fine</w>", "...</w>"]
    assert batch.word_ids() == [0, 0, 1, 1]
    assert batch["offset_mapping"] == [(0, 4), (4, 7), (0, 4), (4, 5)]


def test_offsets_hold_for_pairs_padding_and_windows(gpt1: Tokenizer) -> None:
    gpt1.add_special_tokens({"pad_token": "<pad>"})
    texts = ["what — now", "no"]
    batch = gpt1(
        texts,
        ["one two… three four five", "x"],
        truncation="only_second",
        max_length=6,
        stride=1,
        padding=True,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    assert batch["overflow_to_sample_mapping"] == [0, 0, 0, 1]
    assert batch["offset_mapping"][0][1] == (5, 6)
    assert batch["offset_mapping"][3][2:] == [(0, 0)] * 4
    assert {len(row) for row in batch["input_ids"]} == {6}


def test_added_tokens_stay_whole_and_special_ones_only_when_asked(gpt1: Tokenizer) -> None:
    gpt1.add_special_tokens({"bos_token": "<start>"})
    assert 40478 not in gpt1.encode("<start> a")
    gpt1.parse_special_tokens = True
    batch = gpt1("A<start>B", return_offsets_mapping=True)
    assert batch["input_ids"] == [246, 40478, 259]
    assert batch["offset_mapping"] == [(0, 1), (1, 8), (8, 9)]
    gpt1.add_tokens(["[E1]"])
    assert gpt1.tokenize("a [E1]b") == ["a</w>", "[E1]", "b</w>"]
