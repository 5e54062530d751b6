"""Candidates of a query stand side by side, so that in every feature there is something to compare."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plm.data.candidates import Candidate
from plm.data.features.matching import ComparedFeature, encode_candidates
from plm.errors import ConfigError
from plm.tokenizers import Tokenizer, load_tokenizer
from tests.tiny_folders import VOCABULARY


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("bert")
    (folder / "vocab.txt").write_text("".join(f"{token}\n" for token in VOCABULARY), encoding="utf-8")
    return load_tokenizer(folder)


def group(*labels: int | None, name: str = "q", text: str = "good") -> list[Candidate]:
    return [Candidate(str(n), "the film", text, label, name, n) for n, label in enumerate(labels, 1)]


def encode(candidates: Sequence[Candidate], tokenizer: Tokenizer, side_by_side: int = 8) -> list[ComparedFeature]:
    return encode_candidates(candidates, tokenizer, max_length=10, side_by_side=side_by_side)


def test_a_feature_holds_the_pairs_of_a_query_as_the_tokenizer_makes_them(tokenizer: Tokenizer) -> None:
    candidates = [*group(1, 0), *group(0, name="p", text="very bad day")]
    first, second = encode(candidates, tokenizer)
    assert [tokenizer.decode(row) for row in first.input_ids] == ["[CLS] the film [SEP] good [SEP]"] * 2
    assert first.token_type_ids == [[0, 0, 0, 0, 1, 1]] * 2
    assert (first.label, first.members, first.index) == ((1, 0), (0, 1), 0)
    assert (second.label, second.members, second.index) == ((0,), (2,), 1)


def test_the_longer_text_of_a_pair_is_cut(tokenizer: Tokenizer) -> None:
    (feature,) = encode(group(1, text="good " * 30), tokenizer)
    assert tokenizer.decode(feature.input_ids[0]) == "[CLS] the film [SEP] good good good good good [SEP]"


def test_labels_stay_out_when_they_are_not_wanted_or_not_known(tokenizer: Tokenizer) -> None:
    options = {"max_length": 10, "side_by_side": 2}
    assert encode_candidates(group(1, 0), tokenizer, has_labels=False, **options)[0].label is None
    assert encode(group(1, None), tokenizer)[0].label is None


def test_one_alone_is_a_feature_for_each(tokenizer: Tokenizer) -> None:
    features = encode(group(1, 0, 1), tokenizer, side_by_side=1)
    assert [(feature.members, feature.label) for feature in features] == [((0,), (1,)), ((1,), (0,)), ((2,), (1,))]
    with pytest.raises(ConfigError, match="side_by_side: expected a positive integer, got 0"):
        encode(group(1), tokenizer, side_by_side=0)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 2), min_size=1, max_size=20), st.integers(2, 6))
def test_no_candidate_is_lost_and_every_feature_compares(
    tokenizer: Tokenizer, labels: list[int], side_by_side: int
) -> None:
    features = encode(group(*labels), tokenizer, side_by_side)
    assert {member for feature in features for member in feature.members} == set(range(len(labels)))
    for feature in features:
        assert len(feature.members) <= side_by_side
        assert feature.label == tuple(labels[member] for member in feature.members)
        if len(set(labels)) > 1:
            assert len(set(feature.label)) > 1


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 20), st.integers(2, 6))
def test_without_labels_each_candidate_comes_once(tokenizer: Tokenizer, count: int, side_by_side: int) -> None:
    features = encode(group(*[None] * count), tokenizer, side_by_side)
    assert [member for feature in features for member in feature.members] == list(range(count))
