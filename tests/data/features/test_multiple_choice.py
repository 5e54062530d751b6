"""Each option is read with its question behind the context, and only the context is ever cut."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from plm.data.choices import Choice, read_choices
from plm.data.features.multiple_choice import encode_choices
from plm.errors import DataError
from plm.tokenizers import Tokenizer, load_tokenizer
from tests.shared_data import shared_data
from tests.tiny_folders import VOCABULARY, bpe_files


def question(*options: str, context: str = "the old book", asked: str = "was the", answer: int | None = 0) -> Choice:
    return Choice(id="1", context=context, question=asked, options=options, answer=answer, place="line 7")


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("bert")
    (folder / "vocab.txt").write_text("".join(f"{token}\n" for token in VOCABULARY), encoding="utf-8")
    return load_tokenizer(folder)


@pytest.fixture(scope="module")
def gpt(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("gpt")
    for name, text in bpe_files(["the", "old", "book", "was", "good", "bad"]).items():
        (folder / name).write_text(text, encoding="utf-8")
    return load_tokenizer(folder)


def tokens(tokenizer: Tokenizer, choice: Choice, **options: Any) -> list[str]:
    (feature,) = encode_choices([choice], tokenizer, **{"max_length": 20, **options})
    return [" ".join(tokenizer.convert_ids_to_tokens(row)) for row in feature.input_ids]


def test_bert_reads_context_and_question_with_option_as_a_pair(bert: Tokenizer) -> None:
    choice = question("good", "very bad")
    assert tokens(bert, choice) == [
        "[CLS] the old book [SEP] was the good [SEP]",
        "[CLS] the old book [SEP] was the very bad [SEP]",
    ]
    (feature,) = encode_choices([choice], bert, max_length=20)
    assert feature.token_type_ids == [[0] * 5 + [1] * 4, [0] * 5 + [1] * 5]
    (ids, types) = bert.encode_batch_ids(["the old book"], ["was the good"])
    assert (feature.input_ids[0], feature.token_type_ids[0]) == (ids[0], (types or [])[0])


def test_without_context_or_question_nothing_stands_for_them(bert: Tokenizer) -> None:
    assert tokens(bert, question("good", context="")) == ["[CLS] was the good [SEP]"]
    assert tokens(bert, question("good", asked="")) == ["[CLS] the old book [SEP] good [SEP]"]
    (feature,) = encode_choices([question("good", context="")], bert, max_length=20)
    assert feature.token_type_ids == [[0] * 5]


def test_models_without_these_tokens_read_plain_text(gpt: Tokenizer) -> None:
    assert tokens(gpt, question("good")) == ["the</w> old</w> book</w> was</w> the</w> good</w>"]
    (feature,) = encode_choices([question("good")], gpt, max_length=20)
    assert feature.token_type_ids is None


def test_only_the_end_of_the_context_is_cut(bert: Tokenizer) -> None:
    choice = question("good", "very bad")
    assert tokens(bert, choice, max_length=8) == [
        "[CLS] the old [SEP] was the good [SEP]",
        "[CLS] the [SEP] was the very bad [SEP]",
    ]
    with pytest.raises(DataError, match=r"quiz.json, line 7: question and option alone have 7 tokens.*max_length is 6"):
        encode_choices([choice], bert, max_length=6, source="quiz.json")


@pytest.mark.parametrize("chunk_size", [1, 2, 250])
def test_chunks_change_nothing(bert: Tokenizer, chunk_size: int) -> None:
    choices = [question("good", "bad", answer=1), question("red", "old", "slow", context="sun"), question("day")]
    features = encode_choices(choices, bert, max_length=20, chunk_size=chunk_size)
    assert [feature.index for feature in features] == [0, 1, 2]
    assert [len(feature.input_ids) for feature in features] == [2, 3, 1]
    assert features == encode_choices(choices, bert, max_length=20)


def test_labels_are_left_out_for_prediction(bert: Tokenizer) -> None:
    assert encode_choices([question("good", answer=1)], bert, max_length=20)[0].label == 1
    assert encode_choices([question("good", answer=1)], bert, max_length=20, has_labels=False)[0].label is None


@pytest.mark.parametrize(
    ("file", "name", "vocabulary"),
    [
        ("c3/c3-d-dev.json", "c3", "bert-base-chinese-vocab.txt"),
        ("multiple_choice/dream_dev.json", "dream", "bert-base-uncased-vocab.txt"),
        ("multiple_choice/piqa_dev.jsonl", "piqa", "bert-base-uncased-vocab.txt"),
    ],
)
def test_real_questions_fit_into_the_lengths_of_the_recipes(
    file: str, name: str, vocabulary: str, tmp_path: Path
) -> None:
    (tmp_path / "vocab.txt").write_bytes(shared_data("vocabs", vocabulary).read_bytes())
    choices = read_choices(shared_data(*file.split("/")), format=name)
    features = encode_choices(choices, load_tokenizer(tmp_path), max_length=256)
    assert max(len(row) for feature in features for row in feature.input_ids) <= 256
    assert [len(feature.input_ids) for feature in features] == [len(choice.options) for choice in choices]
