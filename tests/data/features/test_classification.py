"""Examples to features, through any tokenizer that has encode_batch_ids."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from plm.auto.tokenizer import AutoTokenizer
from plm.data.features.classification import encode_examples
from plm.data.labels import LabelSet
from plm.data.readers import Example
from plm.errors import ConfigError, DataError


class Letters:
    """A tokenizer whose ids are code points. Counts its calls."""

    def __init__(self, *, has_types: bool = True) -> None:
        self.calls: list[int] = []
        self.has_types = has_types

    def encode_batch_ids(
        self, texts: Sequence[str], pairs: Sequence[str] | None = None, *, max_length: int | None = None
    ) -> tuple[list[list[int]], list[list[int]] | None]:
        self.calls.append(len(texts))
        seconds = pairs or [""] * len(texts)
        ids = [[ord(letter) for letter in text + pair][:max_length] for text, pair in zip(texts, seconds, strict=True)]
        types = [([0] * len(text) + [1] * len(pair))[:max_length] for text, pair in zip(texts, seconds, strict=True)]
        return ids, types if self.has_types else None


def examples(*texts: str, pair: str | None = None, label: str | None = None) -> list[Example]:
    return [Example(id=str(n), text=text, pair=pair, label=label, line=n) for n, text in enumerate(texts, 1)]


def test_features_keep_order_across_chunks() -> None:
    tokenizer = Letters()
    features = encode_examples(examples(*"abcde"), tokenizer, labels=None, max_length=8, chunk_size=2)
    assert [feature.input_ids for feature in features] == [[ord(letter)] for letter in "abcde"]
    assert [feature.index for feature in features] == [0, 1, 2, 3, 4]
    assert tokenizer.calls[1:] == [2, 2, 1]  # the first asks for the special tokens


def test_labels_become_targets_or_stay_out() -> None:
    data = examples("x", label="b")
    assert encode_examples(data, Letters(), labels=LabelSet(("a", "b")), max_length=8)[0].label == 1
    assert encode_examples(data, Letters(), labels=None, max_length=8)[0].label is None


def test_pairs_reach_the_tokenizer_even_when_the_second_text_is_empty() -> None:
    feature = encode_examples(examples("ab", pair="c"), Letters(), labels=None, max_length=8)[0]
    assert feature.token_type_ids == [0, 0, 1]
    assert len(encode_examples(examples("ab", pair=""), Letters(), labels=None, max_length=8)) == 1


def test_models_without_token_types_get_none() -> None:
    feature = encode_examples(examples("ab"), Letters(has_types=False), labels=None, max_length=8)[0]
    assert feature.token_type_ids is None


def test_texts_are_cut_to_max_length() -> None:
    assert len(encode_examples(examples("abcdef"), Letters(), labels=None, max_length=3)[0].input_ids) == 3
    with pytest.raises(ConfigError, match="max_length"):
        encode_examples(examples("a"), Letters(), labels=None, max_length=0)


def test_a_lonely_text_among_pairs_is_refused() -> None:
    mixed = [*examples("a", pair="b"), *examples("a", "c")]
    with pytest.raises(DataError, match=r"dev.tsv, line 1: has no second text, but others have"):
        encode_examples(mixed, Letters(), labels=None, max_length=8, source="dev.tsv")


def test_bad_labels_name_file_and_line() -> None:
    with pytest.raises(DataError, match=r"dev.tsv, line 1: unknown label 'c'"):
        encode_examples(examples("x", label="c"), Letters(), labels=LabelSet(("a",)), max_length=8, source="dev.tsv")


def test_a_length_for_special_tokens_alone_is_refused() -> None:
    tokenizer = AutoTokenizer.from_pretrained("plm/tiny-en")
    assert len(encode_examples(examples("film"), tokenizer, labels=None, max_length=3)[0].input_ids) == 3
    with pytest.raises(ConfigError, match="at least 3 tokens, 2 of them special, got 2"):
        encode_examples(examples("film"), tokenizer, labels=None, max_length=2)
    with pytest.raises(ConfigError, match="at least 5 tokens, 3 of them special, got 4"):
        encode_examples(examples("film", pair="book"), tokenizer, labels=None, max_length=4)
