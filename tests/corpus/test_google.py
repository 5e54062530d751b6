"""Google's examples: equal to the script's own, and its rules one by one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plm.corpus.google import GoogleInstance, google_instances
from plm.corpus.google_text import read_google_documents
from plm.errors import ConfigError, DataError, TokenizerError
from plm.tokenizers import load_tokenizer

TESTS = Path(__file__).resolve().parents[1]
SAMPLE = Path(__file__).parent / "google" / "sample_text.txt"

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c", "##d", "##e"]
DOCUMENTS = [[["a", "##d", "b"], ["c"], ["b", "##e", "##d", "a"]], [["a", "a", "b", "c"], ["c", "##e"]], [["b"]]]


@pytest.fixture(scope="module")
def words() -> list[str]:
    vocabulary = TESTS / "tokenizers" / "data" / "bert-base-uncased-vocab.txt"
    return vocabulary.read_text(encoding="utf-8").split("\n")[:30522]


@pytest.fixture(scope="module")
def sample() -> list[list[list[int]]]:
    tokenizer = load_tokenizer(TESTS / "tokenizers" / "data" / "bert-base-uncased-vocab.txt")
    return read_google_documents([SAMPLE], tokenizer)


def line(instance: GoogleInstance[str]) -> str:
    columns: list[Sequence[Any]] = [
        instance.tokens,
        instance.segment_ids,
        [int(instance.is_random_next)],
        instance.masked_lm_positions,
        instance.masked_lm_labels,
    ]
    return "|".join(" ".join(map(str, column)) for column in columns)


# Settings, and of what Google's script makes: instances, tokens, masked ones, random pairs, MD5 of the lines.
GOLDEN = [
    ({"dupe_factor": 5}, (60, 6207, 922, 32, "e38a3462217da63b7c3fc5fe64fd9391")),
    ({"dupe_factor": 5, "whole_word_mask": True}, (64, 6567, 978, 37, "36f54a6d240823c54d6133ce591839a1")),
    (
        {
            "max_seq_length": 64,
            "max_predictions_per_seq": 10,
            "short_seq_prob": 0.5,
            "dupe_factor": 3,
            "random_seed": 7,
        },
        (72, 4253, 659, 62, "c088b3b238106655938433687393d215"),
    ),
    ({"max_seq_length": 512, "max_predictions_per_seq": 76}, (70, 17074, 2552, 47, "dd3f990ff580a8eaf95abbcfddc24695")),
]


@pytest.mark.parametrize(("options", "expected"), GOLDEN)
def test_instances_equal_those_of_googles_script(
    sample: list[list[list[int]]], words: list[str], options: dict[str, Any], expected: tuple[int | str, ...]
) -> None:
    spelled = [[[words[token] for token in sentence] for sentence in document] for document in sample]
    instances = google_instances(spelled, words=words, **options)
    found = (
        len(instances),
        sum(len(instance.tokens) for instance in instances),
        sum(len(instance.masked_lm_labels) for instance in instances),
        sum(instance.is_random_next for instance in instances),
        hashlib.md5("\n".join(map(line, instances)).encode()).hexdigest(),
    )
    assert found == expected


@pytest.mark.parametrize("whole_word_mask", [False, True])
def test_ids_give_the_same_instances_as_words(whole_word_mask: bool) -> None:
    numbered = [[[WORDS.index(word) for word in sentence] for sentence in document] for document in DOCUMENTS]
    by_word = google_instances(DOCUMENTS, words=WORDS, max_seq_length=12, whole_word_mask=whole_word_mask)
    by_id = google_instances(numbered, words=WORDS, max_seq_length=12, whole_word_mask=whole_word_mask)
    assert [[WORDS[token] for token in instance.tokens] for instance in by_id] == [i.tokens for i in by_word]
    assert [[WORDS[label] for label in i.masked_lm_labels] for i in by_id] == [i.masked_lm_labels for i in by_word]


def test_documents_are_left_as_they_are() -> None:
    documents = [[list(sentence) for sentence in document] for document in DOCUMENTS]
    google_instances(documents, words=WORDS, max_seq_length=8)
    assert documents == DOCUMENTS


sentences = st.lists(st.sampled_from(WORDS[5:]), min_size=1, max_size=9)
corpora = st.lists(st.lists(sentences, min_size=1, max_size=5), min_size=1, max_size=4)


@settings(deadline=None, max_examples=60)
@given(corpora, st.integers(5, 30), st.integers(1, 6), st.booleans(), st.integers(0, 99))
def test_every_instance_keeps_the_laws(
    documents: list[list[list[str]]], length: int, most: int, whole: bool, seed: int
) -> None:
    for instance in google_instances(
        documents,
        words=WORDS,
        max_seq_length=length,
        max_predictions_per_seq=most,
        short_seq_prob=0.5,
        dupe_factor=2,
        random_seed=seed,
        whole_word_mask=whole,
    ):
        tokens, positions = instance.tokens, instance.masked_lm_positions
        assert 5 <= len(tokens) <= length
        assert tokens[0] == "[CLS]"
        assert tokens[-1] == "[SEP]"
        split = instance.segment_ids.index(1)
        assert instance.segment_ids == [0] * split + [1] * (len(tokens) - split)
        assert tokens[split - 1] == "[SEP]"
        assert positions == sorted(set(positions))
        assert not {0, split - 1, len(tokens) - 1} & set(positions)
        assert len(positions) <= min(most, max(1, round(0.15 * len(tokens))))
        assert whole or positions
        assert len(instance.masked_lm_labels) == len(positions)


def test_pieces_of_a_word_are_masked_together_or_not_at_all() -> None:
    documents = [[["a", "##d", "##e", "b"], ["c", "##d", "a", "a"]]] * 3
    instances = google_instances(
        documents, words=WORDS, max_seq_length=16, masked_lm_prob=0.4, dupe_factor=20, whole_word_mask=True
    )
    seen = 0
    for instance in instances:
        original = list(instance.tokens)
        for position, label in zip(instance.masked_lm_positions, instance.masked_lm_labels, strict=True):
            original[position] = label
        masked = set(instance.masked_lm_positions)
        for position, token in enumerate(original):
            if token.startswith("##") and original[position - 1] != "[SEP]":
                assert (position in masked) == (position - 1 in masked)
                seen += position in masked
    assert seen > 20


def test_a_single_document_is_its_own_random_one() -> None:
    instances = google_instances([[["a"], ["b"], ["c"]]], words=WORDS, dupe_factor=4)
    assert {instance.is_random_next for instance in instances} == {False, True}


@pytest.mark.parametrize(
    ("documents", "message"),
    [
        ([], "at least one document"),
        ([[["a"]], []], "document 1: expected sentences"),
        ([[["a"], []]], "document 0: expected sentences"),
        ([[["a", 5]]], "document 0: expected tokens that are all str or all int, got int, str"),
        ([[[1.5]]], "all str or all int, got float"),
        ([[[5]], [[6, 10]]], "document 1: 10 is no id of the vocabulary of 10 words"),
        ([[[-1]]], "document 0: -1 is no id"),
    ],
)
def test_documents_that_are_of_no_use_are_refused(documents: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        google_instances(documents, words=WORDS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_seq_length": 4}, "max_seq_length of 5 or more"),
        ({"max_predictions_per_seq": 0}, "max_predictions_per_seq"),
        ({"dupe_factor": 0}, "dupe_factor"),
        ({"short_seq_prob": 1.5}, "shares from 0 to 1, got 1.5"),
        ({"masked_lm_prob": -0.1}, "shares from 0 to 1"),
    ],
)
def test_numbers_that_cannot_be_meant_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        google_instances(DOCUMENTS, words=WORDS, **options)


def test_vocabularies_without_the_special_words_or_with_a_word_twice_are_refused() -> None:
    with pytest.raises(TokenizerError, match=r"has no \[SEP\], \[MASK\]"):
        google_instances(DOCUMENTS, words=["[CLS]", "a"])
    with pytest.raises(TokenizerError, match="holds 2 words twice"):
        google_instances(DOCUMENTS, words=[*WORDS, "a", "b"])
