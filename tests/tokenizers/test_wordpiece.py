"""The WordPiece pipeline against Google's own tokens, a plain twin in Python, and the usual Rust pipeline."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from tokenizers import models, normalizers, pre_tokenizers

from plm.tokenizers import Tokenizer, load_tokenizer
from plm.tokenizers.vocabulary import read_vocab_txt
from plm.tokenizers.wordpiece import build_wordpiece


def google_words(text: str) -> list[str]:
    """The words of Google's BasicTokenizer for an uncased model, written from its description."""

    def is_space(c: str) -> bool:
        return c in " \t\n\r" or unicodedata.category(c) == "Zs"

    def is_dropped(c: str) -> bool:
        return c in "\0\ufffd" or (c not in "\t\n\r" and unicodedata.category(c) in ("Cc", "Cf"))

    def is_ideograph(c: str) -> bool:
        blocks = (
            *((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F)),
            *((0x2B740, 0x2B81F), (0x2B820, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F)),
        )
        return any(first <= ord(c) <= last for first, last in blocks)

    def is_punctuation(c: str) -> bool:
        return (c.isascii() and c.isprintable() and not c.isalnum() and c != " ") or unicodedata.category(c)[0] == "P"

    clean = "".join(" " if is_space(c) else c for c in text if not is_dropped(c))
    words: list[str] = []
    for chunk in "".join(f" {c} " if is_ideograph(c) else c for c in clean).split():
        bare = "".join(c for c in unicodedata.normalize("NFD", chunk.lower()) if unicodedata.category(c) != "Mn")
        words += "".join(f" {c} " if is_punctuation(c) else c for c in bare).split()
    return words


def plain_pipeline(file: Path, *, lower_case: bool = True) -> tokenizers.Tokenizer:
    """What most users of the Rust package build, and transformers too."""
    backend = tokenizers.Tokenizer(models.WordPiece(read_vocab_txt(file)[0], unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=lower_case)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return backend


def test_tokens_equal_those_of_google(uncased: Tokenizer, golden: Callable[[str], list[dict[str, Any]]]) -> None:
    cases = golden("google_tokens.json")
    assert len(cases) == 32
    for case in cases:
        assert uncased.tokenize(case["text"]) == case["tokens"], case["text"]


def test_every_character_makes_the_words_that_google_makes_but_for_the_listed_rules() -> None:
    """The exceptions are characters whose Unicode category the Rust tables do not know yet (docs/tokenizers.md)."""
    backend = build_wordpiece({"[UNK]": 0}, lower_case=True)
    assert backend.normalizer is not None
    assert backend.pre_tokenizer is not None
    blocks = [*range(1, 0xD800), *range(0xE000, 0x30000), *range(0xE0000, 0xE01F0), 0xF0000, 0x10FFFD]
    different = []
    for start in range(0, len(blocks), 512):  # words are told apart by what stands between them
        characters = [chr(code) for code in blocks[start : start + 512]]
        text = "".join(f"x{c}y\n" for c in characters)
        words = [w for w, _ in backend.pre_tokenizer.pre_tokenize_str(backend.normalizer.normalize_str(text))]
        if words != google_words(text):
            for c in characters:
                normal = backend.normalizer.normalize_str(f"x{c}y")
                if [w for w, _ in backend.pre_tokenizer.pre_tokenize_str(normal)] != google_words(f"x{c}y"):
                    different.append(c)
    assert len(different) < 1000
    assert not [c for c in different if ord(c) < 0x600], "nothing of Latin, Greek or Cyrillic differs"
    late_ideographs = range(0x2B820, 0x2B920)  # the Rust package begins this block 256 characters late
    categories = {unicodedata.category(c) for c in different if ord(c) not in late_ideographs}
    assert categories <= {"Mn", "Mc", "Po", "Ps", "Pe", "Pd", "So", "Cn", "Lo", "Lu", "Ll", "Cf"}


def test_ids_equal_the_usual_pipeline_on_real_english_and_chinese(
    shared: Callable[[str], Path], uncased_file: Path, chinese_file: Path
) -> None:
    for file, texts in (
        (uncased_file, ["data/text_en/wikitext2_valid.txt", "data/text_en/books.txt"]),
        (chinese_file, ["data/text_zh/wiki_sample.txt", "data/text_zh/cmrc_wiki_sentences.txt"]),
    ):
        lines = [line for name in texts for line in shared(name).read_text(encoding="utf-8").split("\n")[:4500]]
        lines = [line for line in lines if max(map(len, line.split()), default=0) <= 100]  # the longest word differs
        usual = plain_pipeline(file).encode_batch_fast(lines, add_special_tokens=False)
        ours, _ = load_tokenizer(file).encode_batch_ids(lines, add_special_tokens=False)
        assert len(lines) > 6000
        assert ours == [encoding.ids for encoding in usual]


def test_a_cased_model_keeps_capitals_and_accents(shared: Callable[[str], Path]) -> None:
    cased = load_tokenizer(shared("data/vocabs/bert-base-cased-vocab.txt"))
    assert any("cased: some tokens have a capital" in note for note in cased.notes)
    assert cased.tokenize("Zürich in Paris") == ["Zürich", "in", "Paris"]


def test_words_of_up_to_200_characters_are_split(uncased: Tokenizer) -> None:
    assert "[UNK]" not in uncased.tokenize("a" * 200)
    assert uncased.tokenize("a" * 201) == ["[UNK]"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"lower_case": True}, ["caf", "中", "e"]),
        ({"lower_case": False}, ["CAF", "中", "É"]),
        ({"lower_case": True, "strip_accents": False}, ["caf", "中", "é"]),
        ({"lower_case": False, "strip_accents": True}, ["CAF", "中", "E"]),
        ({"lower_case": True, "split_ideographs": False}, ["caf中e"]),
    ],
)
def test_case_accents_and_ideographs_follow_the_options(options: dict[str, Any], words: list[str]) -> None:
    backend = build_wordpiece({"[UNK]": 0}, **options)
    assert backend.normalizer is not None
    assert backend.pre_tokenizer is not None
    found = backend.pre_tokenizer.pre_tokenize_str(backend.normalizer.normalize_str("CAF中É"))
    assert [word for word, _ in found] == words
