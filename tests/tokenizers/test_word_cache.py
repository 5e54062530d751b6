"""The word cache gives the ids of the tokenizer, whatever the tokenizer and the text."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, normalizers, pre_tokenizers

import plm
from plm.errors import ConfigError, TokenizerError
from plm.tokenizers import Tokenizer, load_tokenizer
from plm.tokenizers.word_cache import WordCache

DATA = Path(__file__).parent / "data"
TINY = Path(plm.__file__).parent / "assets" / "tiny-en"

# Pieces that cut, vanish, compose, change case, or mean something to one of the tokenizers.
NASTY = [
    *("a", "The", "lower", "é", "e\u0301", "\u0301", "Σ", "ΟΔΟΣ", "İ", "ß", "ǅ", "ﬁ", "Å", "a\u0338", "=\u0338"),
    *("한국", "का", "\x7f", "\x85", "\xad", "\u200b", "\ufeff", "\ufffd"),
    *("中", "文", "，", "。", "豈", "\U00020000", "\U0002b820", "\U0002b930", "ひら", "カ\u3099", "〇", "ー"),
    *("don't", "U.S.", "Mr.Smith's", "...", "--", "_", "$5", "½", "@-@", "##ing", "—", "“", "…", "‥", "\u037e", "`"),
    *("\x00", "\x01", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x1f", "\u180e"),
    *(" ", "  ", "\t", "\n", "\r", "\r\n", "\xa0", "\u1680", "\u2003", "\u2028", "\u2029", "\u202f", "\u3000"),
    *("\ue000", "\U000f0000", "\uffff", "😀", "\U0001f1e9\U0001f1ea", "\u2060", "\u0600", "\U000e0041"),
    *("[SEP]", "[MASK]", "<unk>", "&lt;", "&amp;", "<", "＆lt;", "\x1b[0m", "x" * 40, "y" * 300, "http://a.b/c?d=e"),
    *("lower_", "_lower", "[CLS]a", "&lt", "< ", " &gt; "),
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(NASTY) | st.characters(exclude_categories=["Cs"]), max_size=12).map("".join)
LINES = st.lists(TEXTS, max_size=6)


def assert_equal(cache: WordCache, lines: Sequence[str]) -> None:
    """The cache gives the ids of its tokenizer, before and after it has met the words."""
    rows, _ = cache.tokenizer.encode_batch_ids(lines, add_special_tokens=False)
    for _ in range(2):
        ids, lengths = cache.encode(lines)
        assert (ids.dtype, lengths.dtype) == (np.int32, np.int64)
        assert lengths.tolist() == list(map(len, rows))
        assert ids.tolist() == list(itertools.chain.from_iterable(rows))


def variants() -> dict[str, Callable[[], Tokenizer]]:
    """Tokenizers whose words are cut by different rules."""
    uncased, chinese = DATA / "bert-base-uncased-vocab.txt", DATA / "bert-base-chinese-vocab.txt"

    def with_tokens(*tokens: AddedToken, parse_special_tokens: bool = False) -> Tokenizer:
        tokenizer = load_tokenizer(uncased)
        tokenizer.backend.add_tokens(list(tokens))
        tokenizer.parse_special_tokens = parse_special_tokens
        return tokenizer

    def with_parts(normalizer: normalizers.Normalizer | None, words: pre_tokenizers.PreTokenizer | None) -> Tokenizer:
        backend = tokenizers.Tokenizer.from_str(load_tokenizer(uncased).backend.to_str())
        backend.normalizer, backend.pre_tokenizer = normalizer, words  # type: ignore[assignment]
        return load_tokenizer(uncased).with_backend(backend)

    bert = pre_tokenizers.BertPreTokenizer()
    return {
        "tiny": lambda: load_tokenizer(TINY),
        "uncased": lambda: load_tokenizer(uncased),
        "cased": lambda: load_tokenizer(uncased, do_lower_case=False),
        "uncased with accents": lambda: load_tokenizer(uncased, strip_accents=False),
        "chinese": lambda: load_tokenizer(chinese),
        "cased chinese": lambda: load_tokenizer(chinese, do_lower_case=False),
        "chinese in runs": lambda: load_tokenizer(chinese, tokenize_chinese_chars=False),
        "special tokens in text": lambda: with_tokens(parse_special_tokens=True),
        "added word": lambda: with_tokens(AddedToken("Lower"), AddedToken("hel", lstrip=True)),
        "added, as it is": lambda: with_tokens(AddedToken("The", normalized=False), AddedToken("文", normalized=False)),
        "added, stripping": lambda: with_tokens(AddedToken("中", lstrip=True, rstrip=True, normalized=False)),
        "added, with a space": lambda: with_tokens(AddedToken("a the"), AddedToken(". ,", normalized=False)),
        "added, whole words": lambda: with_tokens(AddedToken("lower", single_word=True)),
        "added, with signs": lambda: with_tokens(AddedToken("a,b"), AddedToken("中文"), AddedToken("é")),
        "the Rust package's cleaning": lambda: with_parts(normalizers.BertNormalizer(), bert),
        "unknown normalizer": lambda: with_parts(normalizers.NFC(), bert),
        "no normalizer": lambda: with_parts(None, bert),
        "unknown words": lambda: with_parts(normalizers.BertNormalizer(), pre_tokenizers.Whitespace()),
        "no words": lambda: with_parts(normalizers.BertNormalizer(), None),
    }


@pytest.fixture(scope="module")
def gpt1_caches(gpt1_folder: Path) -> list[WordCache]:
    """GPT-1 with its own words, with those of BERT, and with tokens that it reads in a text."""
    openai, bert = (load_tokenizer(gpt1_folder, pretokenizer=kind) for kind in ("openai", "bert"))  # type: ignore[arg-type]
    parsing = load_tokenizer(gpt1_folder, pretokenizer="openai", parse_special_tokens=True)
    adding = load_tokenizer(gpt1_folder, pretokenizer="openai")
    adding.add_tokens(["new york", "Paris"])
    return [WordCache(tokenizer) for tokenizer in (openai, bert, parsing, adding)]


@pytest.mark.parametrize("name", variants())
def test_ids_are_those_of_the_tokenizer(name: str) -> None:
    cache = WordCache(variants()[name]())
    assert_equal(cache, NASTY)
    assert_equal(cache, ["x".join(NASTY), " ".join(NASTY), *map("".join, itertools.pairwise(NASTY))])

    @settings(deadline=None, max_examples=40)
    @given(lines=LINES)
    def holds(lines: list[str]) -> None:
        assert_equal(cache, lines)

    holds()


@settings(deadline=None, max_examples=150)
@given(lines=LINES)
def test_ids_of_gpt1_are_those_of_the_tokenizer(gpt1_caches: list[WordCache], lines: list[str]) -> None:
    for cache in gpt1_caches:
        assert_equal(cache, lines)


@pytest.mark.parametrize(
    "line",
    [
        "a < b &lt; c",
        "&lt; < &lt;",
        "a < b ＆lt; c",
        "two\nlines \x85 or\u2028three",
        "in new york",
        "a\x1cb",
        "Paris <unk>",
        "e \u0301 \x1b [0m",
    ],
)
def test_what_reaches_over_spaces_in_gpt1(gpt1_caches: list[WordCache], line: str) -> None:
    for cache in gpt1_caches:
        assert_equal(cache, ["before", line, "after"])


@pytest.mark.parametrize("name", ["uncased", "chinese"])
def test_every_character_between_letters_and_between_signs(name: str) -> None:
    cache = WordCache(variants()[name]())
    points = [*range(0x3400), *range(0x3400, 0xD800, 17), *range(0xE000, 0x30000, 3), *range(0xE0000, 0xE0200, 5)]
    for start in range(0, len(points), 1 << 14):
        characters = "".join(map(chr, points[start : start + (1 << 14)]))
        assert_equal(cache, [*(f"a{c}b,{c}." for c in characters[::5]), "中".join(characters)])


@pytest.mark.parametrize("name", ["uncased", "cased", "chinese", "added word"])
def test_most_text_takes_the_fast_way(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = WordCache(variants()[name]())
    lines = ["The quick “brown” fox’s café, 中文 and\ta\xa0\u3000tab", "", "ひらがな [SEP] … end"]
    expected = cache.encode(lines)
    monkeypatch.setattr(cache.tokenizer, "encode_batch_ids", None)  # nothing is left to ask
    for ours, theirs in zip(cache.encode(lines), expected, strict=True):
        assert ours.tolist() == theirs.tolist()


@pytest.mark.parametrize("capacity", [1, 7, 100])
def test_a_small_cache_gives_the_same_ids(uncased_file: Path, capacity: int) -> None:
    cache = WordCache(load_tokenizer(uncased_file), capacity=capacity)
    words = ["so", "much", "depends", "upon", "a", "red", "wheel", "barrow", ",", "glazed", "with", "rain", "水", "."]
    for start in range(200):
        sign = chr(0x4E00 + start * 7 % 100)
        assert_equal(cache, [" ".join(words[start % 9 :]), f"word{start} {sign}wörd{start // 3} {'long' * start}"])
        assert len(cache) <= capacity


def test_a_full_cache_turns_to_new_words_in_the_end(uncased_file: Path) -> None:
    cache = WordCache(load_tokenizer(uncased_file), capacity=20)
    cache.encode([" ".join(f"old{n}" for n in range(20))])
    new = [" ".join(f"new{n}" for n in range(15))]
    for _ in range(3):
        cache.encode(new)
    assert len(cache) == 16, "the new words and a mark are known, the old words gone"


def test_very_long_words_are_not_kept(uncased: Tokenizer) -> None:
    cache = WordCache(uncased)
    assert_equal(cache, ["short", "l" * 1000, "m" * 1000])
    assert len(cache) == len(cache._words) == 2, "the word and a mark"


def test_another_process_starts_empty(uncased: Tokenizer) -> None:
    cache = WordCache(uncased, capacity=123)
    cache.encode(["some words"])
    other = pickle.loads(pickle.dumps(cache))
    assert (len(other), other.capacity) == (1, 123), "it knows a mark"
    assert other.encode(["some words"])[0].tolist() == cache.encode(["some words"])[0].tolist()


def test_tokens_added_later_are_seen(uncased: Tokenizer) -> None:
    cache = WordCache(uncased)
    lines = ["[SEP] covidology today"]
    assert_equal(cache, lines)
    uncased.add_tokens(["covidology"])
    assert_equal(cache, lines)
    uncased.parse_special_tokens = True
    assert_equal(cache, lines)


@pytest.mark.parametrize(
    "lines", [["fine", "half \ud800 pair", "x"], ["fine", None], ["ok", "\x0b", "\udfff"], "text\udc00"]
)
def test_what_is_not_text_gets_the_error_of_the_tokenizer(uncased: Tokenizer, lines: list[str]) -> None:
    with pytest.raises(TokenizerError) as theirs:
        uncased.encode_batch_ids(lines, add_special_tokens=False)
    cache = WordCache(uncased)
    with pytest.raises(TokenizerError) as ours:
        cache.encode(lines)
    assert str(ours.value) == str(theirs.value)
    assert_equal(cache, ["fine as before"])


def test_a_capacity_must_hold_a_word(uncased: Tokenizer) -> None:
    with pytest.raises(ConfigError, match="capacity: expected 1 word or more, got 0"):
        WordCache(uncased, capacity=0)


@pytest.mark.parametrize(
    ("vocabulary", "text"),
    [
        ("bert-base-uncased-vocab.txt", "text_en/books.txt"),
        ("bert-base-cased-vocab.txt", "text_en/wikitext2_valid.txt"),
        ("gpt1", "text_en/wikitext2_valid.txt"),
        ("bert-base-chinese-vocab.txt", "text_zh/essays.txt"),
        ("bert-base-chinese-vocab.txt", "text_zh/wiki_sample.txt"),
        ("bert-base-uncased-vocab.txt", "text_zh/cmrc_wiki_sentences.txt"),
    ],
)
def test_real_texts(shared: Callable[[str], Path], vocabulary: str, text: str) -> None:
    tokenizer = load_tokenizer(shared(f"data/vocabs/{vocabulary}"))
    lines = shared(f"data/{text}").read_text(encoding="utf-8").split("\n")
    cache = WordCache(tokenizer)
    for start in range(0, len(lines), 4096):
        batch = lines[start : start + 4096]
        rows, _ = tokenizer.encode_batch_ids(batch, add_special_tokens=False)
        ids, lengths = cache.encode(batch)
        assert lengths.tolist() == list(map(len, rows))
        assert np.array_equal(ids, np.fromiter(itertools.chain.from_iterable(rows), np.int32))
