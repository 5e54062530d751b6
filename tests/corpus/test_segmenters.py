"""Words of Chinese text, and the tokens that they begin at. The dictionary here is made up for these tests."""

from __future__ import annotations

import importlib.util
import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plm.corpus import segmenters
from plm.corpus.segmenters import DictionarySegmenter, Segmenter, line_word_starts, word_starts
from plm.errors import BackendUnavailable, DataError
from plm.tokenizers import Tokenizer, load_tokenizer
from plm.tokenizers.word_cache import WordCache
from tests.shared_data import shared_data

LETTERS = "我们在北京大学生活动中心车站的人民"
WORDS = """
我 90 r
我们 60 r
在 80 p
北京 40 ns
大学 30 n
北京大学 10 nt
大学生 12 n
学生 25 n
生活 30 n
活动 28 n
活动中心 3 n
中心 20 n
的 99 uj
"""
PIECES = [
    "我们",
    "北京大学",
    "生活动中心",
    "鑫",
    "，",
    "。",
    "iPhone",
    "12",
    "hello",
    "caf",
    "é",
    "e\u0301",
    "ひら",
    "が",
    "한",
]
PIECES += [
    " ",
    "\t",
    "\u3000",
    "\n",
    "\u200b",
    "\x0b",
    "\x85",
    "\x00",
    "-",
    "_",
    "##a",
    "[SEP]",
    "豈",
    "\U00020000",
    "½",
    "ﬁ",
]
TEXTS = st.lists(st.sampled_from(PIECES) | st.characters(exclude_categories=["Cs"]), max_size=12).map("".join)


@pytest.fixture(scope="module")
def chinese(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *"，。-_abcdefghijklmnopqrstuvwxyz0123456789"]
    tokens += [*(f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz0123456789がら"), "iphone", "##one", "caf", "hello", "ひ"]
    path = tmp_path_factory.mktemp("vocabulary") / "vocab.txt"
    path.write_text("\n".join(tokens) + "\n", encoding="utf-8")
    return load_tokenizer(path)


@pytest.fixture(scope="module")
def dictionary(tmp_path_factory: pytest.TempPathFactory) -> DictionarySegmenter:
    path = tmp_path_factory.mktemp("words") / "words.txt"
    path.write_text(WORDS.lstrip(), encoding="utf-8")
    return DictionarySegmenter(path)


def likeliest(text: str) -> float:
    """The best probability of all ways to cut a text into words, by trying them all."""
    frequencies = {word: int(count) for word, count, _ in map(str.split, WORDS.strip().split("\n"))}
    total = sum(frequencies.values())

    def best(rest: str) -> float:
        ways = [
            frequencies.get(rest[:end], 1) / total * best(rest[end:])
            for end in range(1, len(rest) + 1)
            if end == 1 or rest[:end] in frequencies
        ]
        return max(ways, default=1.0)

    return best(text)


def probability(words: Sequence[str]) -> float:
    frequencies = {word: int(count) for word, count, _ in map(str.split, WORDS.strip().split("\n"))}
    total = sum(frequencies.values())
    return float(np.prod([frequencies.get(word, 1) / total for word in words]))


def starts_of(lines: Sequence[str], segmenter: Segmenter, tokenizer: Tokenizer) -> list[bool]:
    cache = WordCache(tokenizer)
    found: list[bool] = word_starts(lines, *cache.encode(lines), segmenter=segmenter, cache=cache).tolist()
    return found


@settings(deadline=None, max_examples=100)
@given(text=st.text("我们在北京大学生活动中心的鑫", max_size=9))
def test_chinese_words_are_the_likeliest_of_all(dictionary: DictionarySegmenter, text: str) -> None:
    assert probability(dictionary(text)) == pytest.approx(likeliest(text), rel=1e-9)


def test_words_of_mixed_text(dictionary: DictionarySegmenter) -> None:
    assert dictionary("我们在北京大学，用iPhone12 看鑫café") == [
        *("我们", "在", "北京大学", "，", "用", "iPhone12", " ", "看", "鑫", "café"),
    ]
    assert dictionary("") == []


@settings(deadline=None, max_examples=200)
@given(text=TEXTS)
def test_words_joined_are_the_text(dictionary: DictionarySegmenter, text: str) -> None:
    assert "".join(dictionary(text)) == text


def test_a_segmenter_travels_and_is_told_from_another(dictionary: DictionarySegmenter, tmp_path: Path) -> None:
    same = pickle.loads(pickle.dumps(dictionary))
    assert same("我们在北京") == ["我们", "在", "北京"]
    assert repr(same) == repr(dictionary)
    assert "13 words" in repr(dictionary)
    (tmp_path / "words.txt").write_text(WORDS.strip().replace("90", "91"), encoding="utf-8")
    assert repr(DictionarySegmenter(tmp_path / "words.txt")) != repr(dictionary)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("我 90 r\n我们\n", "line 2: expected a word, its frequency and its kind in UTF-8, got '我们'"),
        ("我 many r\n", "line 1"),
        ("", "expected words with frequencies, got none above 0"),
        ("我 0 r\n", "got none above 0"),
    ],
)
def test_a_damaged_dictionary_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "words.txt"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        DictionarySegmenter(path)


def test_a_missing_dictionary_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.txt: expected a list of words with frequencies"):
        DictionarySegmenter(tmp_path / "none.txt")


def test_words_begin_at_their_first_tokens(dictionary: DictionarySegmenter, chinese: Tokenizer) -> None:
    line = "我们 hello，北京大学 iPhone12。"
    tokens = chinese.tokenize(line)
    marks = starts_of([line], dictionary, chinese)
    assert [t for t, starts in zip(tokens, marks, strict=True) if starts] == ["我", "hello", "，", "北", "iphone", "。"]
    assert tokens == ["我", "们", "hello", "，", "北", "京", "大", "学", "iphone", "##1", "##2", "。"]


def test_a_continued_piece_never_begins_a_word(chinese: Tokenizer) -> None:
    def characters(text: str) -> list[str]:
        return list(text)

    assert chinese.tokenize("cafe 我们") == ["caf", "##e", "我", "们"]
    assert starts_of(["cafe 我们", "ae"], characters, chinese) == [True, False, True, True, True, False]


@settings(deadline=None, max_examples=200)
@given(lines=st.lists(TEXTS, max_size=5), cut=st.sampled_from(["dictionary", "characters", "pairs", "whole"]))
def test_the_fast_way_is_that_of_single_lines(
    dictionary: DictionarySegmenter, chinese: Tokenizer, lines: list[str], cut: str
) -> None:
    segmenter = {
        "dictionary": dictionary,
        "characters": list,
        "pairs": lambda text: [text[start : start + 2] for start in range(0, len(text), 2)],
        "whole": lambda text: [text],
    }[cut]
    expected = [line_word_starts(line, segmenter(line), chinese) for line in lines]
    assert starts_of(lines, segmenter, chinese) == [bool(mark) for marks in expected for mark in marks]


def test_words_that_are_not_the_text_are_refused(chinese: Tokenizer) -> None:
    with pytest.raises(DataError, match="expected words that joined are the text '我们 在', got"):
        starts_of(["我们 在"], str.split, chinese)


def test_jieba_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def missing(*args: object, **kwargs: object) -> None:
        raise BackendUnavailable("jieba is not here")

    monkeypatch.setattr(segmenters, "optional_import", missing)
    with pytest.raises(BackendUnavailable):
        segmenters.named_segmenter("jieba")
    (tmp_path / "words.txt").write_text(WORDS.strip(), encoding="utf-8")
    assert isinstance(segmenters.named_segmenter(str(tmp_path / "words.txt")), DictionarySegmenter)


@pytest.mark.skipif(not importlib.util.find_spec("jieba"), reason="needs jieba")
def test_words_of_jieba_joined_are_the_text(chinese: Tokenizer) -> None:
    jieba = segmenters.JiebaSegmenter()
    assert jieba("我们在北京大学") == ["我们", "在", "北京大学"]
    assert repr(pickle.loads(pickle.dumps(jieba))) == repr(jieba)
    for line in ["", " 我们\t在\r\n北京 café", "x".join(PIECES), "".join(PIECES)]:
        words = jieba(line)
        assert "".join(words) == line
        assert starts_of([line], jieba, chinese) == line_word_starts(line, words, chinese).tolist()


def test_real_text_agrees_with_its_plain_twin() -> None:
    segmenter = DictionarySegmenter(shared_data("text_zh", "words_jieba_small.txt"))
    tokenizer = load_tokenizer(shared_data("vocabs", "bert-base-chinese-vocab.txt"))
    lines = shared_data("text_zh", "wiki_sample.txt").read_text(encoding="utf-8").split("\n")[:1500]
    expected = [line_word_starts(line, segmenter(line), tokenizer) for line in lines]
    assert starts_of(lines, segmenter, tokenizer) == np.concatenate(expected).tolist()
    assert segmenter("他来到了网易大厦") == ["他", "来到", "了", "网易", "大厦"]
