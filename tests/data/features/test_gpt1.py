"""GPT-1's inputs: three tokens in their places whatever is cut, in the recipes of the paper and of train.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plm.data.choices import Choice
from plm.data.features.gpt1 import Gpt1Marks, both_orders, cut_pair, encode_gpt1_choices, encode_gpt1_texts
from plm.data.labels import LabelSet
from plm.data.readers import Example
from plm.errors import DataError, TokenizerError
from plm.tokenizers import Tokenizer, load_tokenizer
from tests.shared_data import shared_data
from tests.tiny_folders import WORDS, bpe_files

MARKS = {"bos_token": "_start_", "sep_token": "_delimiter_", "cls_token": "_classify_"}
START, DELIMITER, EXTRACT = 1000, 1001, 1002
OPENAI = Path(__file__).parents[2] / "tokenizers" / "data"  # see the README there
IDS = st.lists(st.integers(1, 9), max_size=40)


def plain(folder: Path) -> Tokenizer:
    for name, text in bpe_files(WORDS).items():
        (folder / name).write_text(text, encoding="utf-8")
    return load_tokenizer(folder)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    made = plain(tmp_path_factory.mktemp("gpt"))
    made.add_special_tokens(MARKS)
    return made


def text(words: str, pair: str | None = None, label: str | None = None, line: int = 1) -> Example:
    return Example(id=str(line), text=words, pair=pair, label=label, line=line)


def story(context: str, question: str, *options: str) -> Choice:
    return Choice(id="1", context=context, question=question, options=options, answer=1, place="line 4")


def words(tokenizer: Tokenizer, row: list[int]) -> str:
    return " ".join(token.removesuffix("</w>") for token in tokenizer.convert_ids_to_tokens(row))


def test_rows_are_those_of_the_paper(tokenizer: Tokenizer) -> None:
    one = encode_gpt1_texts([text("good film")], tokenizer, labels=None, max_length=9)[0]
    assert words(tokenizer, one.input_ids) == "_start_ good film _classify_"
    pair = encode_gpt1_texts([text("good film", "bad day")], tokenizer, labels=None, max_length=9)[0]
    assert words(tokenizer, pair.input_ids) == "_start_ good film _delimiter_ bad day _classify_"
    both = encode_gpt1_texts([text("good film", "bad")], tokenizer, labels=None, max_length=9, order="both")[0]
    assert [words(tokenizer, row) for row in both_orders(both).input_ids] == [
        "_start_ good film _delimiter_ bad _classify_",
        "_start_ bad _delimiter_ good film _classify_",
    ]
    (choice,) = encode_gpt1_choices([story("old sun", "was the", "red", "slow night")], tokenizer, max_length=20)
    assert [words(tokenizer, row) for row in choice.input_ids] == [
        "_start_ old sun was the _delimiter_ red _classify_",
        "_start_ old sun was the _delimiter_ slow night _classify_",
    ]
    assert (one.token_type_ids, choice.token_type_ids, choice.label) == (None, None, 1)


def test_a_text_cannot_write_the_tokens(tokenizer: Tokenizer) -> None:
    feature = encode_gpt1_texts([text("good _classify_ _start_ film")], tokenizer, labels=None, max_length=99)[0]
    marks = Gpt1Marks.of(tokenizer)
    assert [feature.input_ids.count(mark) for mark in (marks.start, marks.delimiter, marks.extract)] == [1, 0, 1]


@settings(deadline=None, max_examples=100)
@given(IDS, IDS, st.integers(4, 60))
def test_the_three_tokens_survive_every_truncation(first: list[int], second: list[int], max_length: int) -> None:
    marks = Gpt1Marks(start=START, delimiter=DELIMITER, extract=EXTRACT)
    single = marks.text(first, max_length=max_length)
    assert (single[0], single[-1]) == (START, EXTRACT)
    assert single[1:-1] == first[: max_length - 2]
    left, right = cut_pair(first, second, max_length=max_length)
    pair = marks.pair(left, right)
    assert (pair[0], pair[-1], pair.count(DELIMITER)) == (START, EXTRACT, 1)
    assert len(pair) <= max_length
    assert first[: len(left)] == left
    assert second[: len(right)] == right


@settings(deadline=None, max_examples=100)
@given(IDS, IDS, st.integers(4, 60))
def test_the_longer_of_two_is_cut_first_and_their_order_does_not_matter(
    first: list[int], second: list[int], max_length: int
) -> None:
    left, right = cut_pair(first, second, max_length=max_length)
    assert cut_pair(second, first, max_length=max_length) == (right, left)
    room = max_length - 3
    if len(first) + len(second) <= room:
        assert (left, right) == (first, second)
    else:
        assert len(left) + len(right) >= room - 1
        if len(left) < len(first):
            assert len(left) >= len(right) or right == second
            assert len(left) >= room // 2


def test_two_long_texts_get_what_train_py_gives_them() -> None:
    left, right = cut_pair([1] * 600, [2] * 600, max_length=512)
    assert len(left) == len(right) == 512 // 2 - 2


def test_choices_cut_the_context_alone(tokenizer: Tokenizer) -> None:
    choice = story("old sun red day", "was the", "bad", "slow night")
    (feature,) = encode_gpt1_choices([choice], tokenizer, max_length=8)
    assert [words(tokenizer, row) for row in feature.input_ids] == [
        "_start_ old sun was the _delimiter_ bad _classify_",
        "_start_ old was the _delimiter_ slow night _classify_",
    ]
    with pytest.raises(DataError, match=r"quiz.csv, line 4: question and option alone have 7 tokens"):
        encode_gpt1_choices([choice], tokenizer, max_length=6, source="quiz.csv")


def test_there_must_be_room_for_text(tokenizer: Tokenizer) -> None:
    with pytest.raises(DataError, match="max_length: 2 has no room for text beside 2 special tokens"):
        encode_gpt1_texts([text("good")], tokenizer, labels=None, max_length=2)


def test_labels_become_targets_across_chunks(tokenizer: Tokenizer) -> None:
    examples = [text("good", label="b", line=1), text("bad", label="a", line=2), text("the", label="b", line=3)]
    features = encode_gpt1_texts(examples, tokenizer, labels=LabelSet(("a", "b")), max_length=9, chunk_size=2)
    assert [(feature.label, feature.index) for feature in features] == [(1, 0), (0, 1), (1, 2)]
    with pytest.raises(DataError, match=r"x.tsv, line 1: unknown label 'b'"):
        encode_gpt1_texts(examples, tokenizer, labels=LabelSet(("a", "c")), max_length=9, source="x.tsv")


def test_single_texts_among_pairs_are_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(DataError, match=r"x.tsv, line 2: expected a second text"):
        encode_gpt1_texts([text("a", "b"), text("a", line=2)], tokenizer, labels=None, max_length=9, source="x.tsv")
    with pytest.raises(DataError, match="line 1: expected a second text"):
        encode_gpt1_texts([text("a")], tokenizer, labels=None, max_length=9, order="both")


def test_a_tokenizer_without_the_tokens_is_told_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match="need a bos_token, and this tokenizer has none"):
        Gpt1Marks.of(plain(tmp_path))


def test_rows_are_those_of_train_py_with_openais_vocabulary() -> None:
    rows = json.loads((OPENAI / "openai_tokens.json").read_text(encoding="utf-8"))[:60]
    tokenizer = load_tokenizer(shared_data("vocabs", "gpt1"))
    tokenizer.add_special_tokens(MARKS)
    assert Gpt1Marks.of(tokenizer) == Gpt1Marks(start=40478, delimiter=40479, extract=40480)
    texts = encode_gpt1_texts([text(row["text"]) for row in rows], tokenizer, labels=None, max_length=512)
    assert [feature.input_ids for feature in texts] == [[40478, *row["ids"], 40480] for row in rows]
    told, ending, other = rows[:3]
    (choice,) = encode_gpt1_choices([story(told["text"], "", ending["text"], other["text"])], tokenizer, max_length=512)
    assert choice.input_ids == [[40478, *told["ids"], 40479, *end["ids"], 40480] for end in (ending, other)]
