"""Words to pieces: every word is decided once, by a window that has it whole, and nothing is cut off."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from plm.data.conll import TaggedText
from plm.data.features.tagging import TagFeature, encode_words, pad_words, windows
from plm.errors import ConfigError, DataError
from plm.tokenizers import Tokenizer, load_tokenizer
from tests.tiny_folders import VOCABULARY, WORDS, bpe_files


def sentence(text: str) -> TaggedText:
    words = tuple(text.split(" "))
    return TaggedText("1", words, None, 7, text, tuple(range(len(words))))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("wordpiece")
    (folder / "vocab.txt").write_text("".join(f"{token}\n" for token in VOCABULARY))
    return load_tokenizer(folder)


@pytest.fixture(scope="module")
def gpt1(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("bpe")
    for name, content in bpe_files(WORDS).items():
        (folder / name).write_text(content)
    return load_tokenizer(folder)


def encode(tokenizer: Tokenizer, text: str, *classes: int, **options: int | bool) -> list[TagFeature]:
    return encode_words(
        [sentence(text)], tokenizer, classes=[classes] if classes else None, **{"max_length": 64, **options}
    )


def test_the_first_piece_or_all_pieces_of_a_word_carry_its_class(tokenizer: Tokenizer) -> None:
    (feature,) = encode(tokenizer, "the films slowly", 0, 1, 2)  # [CLS] the film ##s slow ##ly [SEP]
    assert tokenizer.convert_ids_to_tokens(feature.input_ids)[2:4] == ["film", "##s"]
    assert feature.labels == [-100, 0, 1, -100, 2, -100, -100]
    assert feature.bounds == [1, 2, 4, 6]
    (copied,) = encode(tokenizer, "the films slowly", 0, 1, 2, label_all_pieces=True)
    assert copied.labels == [-100, 0, 1, 1, 2, 2, -100]
    assert (copied.input_ids, copied.bounds) == (feature.input_ids, feature.bounds)
    assert encode(tokenizer, "the films slowly")[0].labels is None


@settings(deadline=None, max_examples=30)
@given(words=st.lists(st.sampled_from([*WORDS, "films", "slowly", "xyz", "s", "明月", "New York", "."]), min_size=1))
def test_pieces_are_those_of_the_tokenizer(words: list[str], tokenizer: Tokenizer, gpt1: Tokenizer) -> None:
    """Words are looked up once each; the tokenizer asked for the whole sentence must say the same."""
    text = TaggedText("1", tuple(words), None, 1, "", ())
    for asked in (tokenizer, gpt1):
        (feature,) = encode_words([text], asked, classes=None, max_length=1000)
        whole = asked(words, is_split_into_words=True)
        assert feature.input_ids == whole["input_ids"]
        assert feature.token_type_ids == whole.get("token_type_ids")
        starts = [whole.word_ids().index(number) for number in range(len(words))]
        assert feature.bounds[:-1] == starts


def test_a_word_that_the_tokenizer_deletes_becomes_unknown(tokenizer: Tokenizer) -> None:
    (feature,) = encode(tokenizer, "the \u200b film", 0, 1, 2)
    assert feature.input_ids[2] == tokenizer.unk_token_id
    assert feature.labels == [-100, 0, 1, 2, -100]


def test_windows_of_a_long_sentence(tokenizer: Tokenizer) -> None:
    features = encode(tokenizer, "good bad film book very not the was", *range(8), max_length=6, overlap=2)
    words = [tokenizer.convert_ids_to_tokens(feature.input_ids)[1:-1] for feature in features]
    assert words == [["good", "bad", "film", "book"], ["film", "book", "very", "not"], ["very", "not", "the", "was"]]
    assert [feature.labels[1:-1] for feature in features if feature.labels] == [
        [0, 1, 2, -100],
        [-100, 3, 4, -100],
        [-100, 5, 6, 7],
    ]
    assert [feature.index for feature in features] == [0, 1, 2]
    assert {feature.example for feature in features} == {0}


@settings(deadline=None, max_examples=200)
@given(sizes=st.lists(st.integers(1, 5), min_size=1, max_size=40), room=st.integers(5, 12), overlap=st.integers(0, 6))
def test_every_word_is_decided_once_and_stands_whole_in_its_window(sizes: list[int], room: int, overlap: int) -> None:
    found = windows(sizes, room=room, overlap=min(overlap, room // 2))
    decided = [word for window in found for word in range(window.decides, window.until)]
    assert decided == list(range(len(sizes)))
    for window in found:
        assert window.first <= window.decides < window.until <= window.stop
        assert sum(sizes[window.first : window.stop]) <= room
    for before, after in pairwise(found):
        assert sum(sizes[after.first : before.stop]) <= overlap
    if sum(sizes) <= room:
        assert len(found) == 1


def test_of_a_word_without_room_the_first_pieces_are_kept(
    tokenizer: Tokenizer, caplog: pytest.LogCaptureFixture
) -> None:
    (first, second) = encode_words(
        [sentence("the slowly")], tokenizer, classes=[[1, 2]], max_length=3, source="a.txt", label_all_pieces=True
    )
    assert [len(feature.input_ids) for feature in (first, second)] == [3, 3]
    assert (first.labels, second.labels) == ([-100, 1, -100], [-100, 2, -100])
    assert "a.txt: 1 words have more than the 1 pieces that fit into a window and are cut; the first is 'slowly'" in (
        caplog.text
    )


def test_what_cannot_be_encoded_is_named(tokenizer: Tokenizer) -> None:
    with pytest.raises(DataError, match="line 7: the sentence has no words"):
        encode_words([TaggedText("1", (), (), 7, "", ())], tokenizer, classes=None, max_length=3)
    with pytest.raises(ConfigError, match="room for more than 2 special tokens"):
        encode(tokenizer, "the", max_length=2)
    with pytest.raises(ConfigError, match="overlap"):
        encode(tokenizer, "the", overlap=-1)


def test_batches_are_padded_on_the_right(tokenizer: Tokenizer) -> None:
    features = encode_words([sentence("the film"), sentence("good")], tokenizer, classes=[[1, 2], [3]], max_length=9)
    batch = pad_words(features, pad_token_id=0)
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]]
    assert batch["labels"].tolist() == [[-100, 1, 2, -100], [-100, 3, -100, -100]]
    assert batch["index"].tolist() == [0, 1]
    assert {tensor.dtype for tensor in batch.values()} == {torch.int64}
    unlabelled = encode(tokenizer, "good")
    assert "labels" not in pad_words(unlabelled, pad_token_id=0)
    with pytest.raises(DataError, match="2 of 3 features in a batch have labels"):
        pad_words([*features, *unlabelled], pad_token_id=0)
    with pytest.raises(DataError, match="at least one"):
        pad_words([], pad_token_id=0)


def test_models_without_token_types_get_none(gpt1: Tokenizer) -> None:
    features = encode(gpt1, "good film", 0, 1)
    assert features[0].token_type_ids is None
    assert "token_type_ids" not in pad_words(features, pad_token_id=0)
