"""Text files become the documents that Google's script makes of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from plm.corpus.google_text import read_google_documents
from plm.errors import ConfigError, DataError
from plm.tokenizers import Tokenizer, load_tokenizer
from tests.tiny_folders import SPECIALS, WORDS, bpe_files


@pytest.fixture
def tokenizer(tmp_path: Path) -> Tokenizer:
    (tmp_path / "vocab.txt").write_text("".join(f"{word}\n" for word in (*SPECIALS, *WORDS)), encoding="utf-8")
    return load_tokenizer(tmp_path)


def words_of(tokenizer: Tokenizer, documents: list[list[list[int]]]) -> list[list[str]]:
    return [[" ".join(filter(None, tokenizer.convert_ids_to_tokens(s))) for s in document] for document in documents]


def test_blank_lines_end_documents_and_the_ends_of_files_do_not(tmp_path: Path, tokenizer: Tokenizer) -> None:
    first, second = tmp_path / "1.txt", tmp_path / "2.txt"
    first.write_text("\n\nthe sun\n  the rain \r\n \t\nold book\n", encoding="utf-8")
    second.write_text("red film", encoding="utf-8")
    documents = read_google_documents([first, second], tokenizer)
    assert words_of(tokenizer, documents) == [["the sun", "the rain"], ["old book", "red film"]]
    parted = read_google_documents([first, second], tokenizer, ends_at_files=True)
    assert words_of(tokenizer, parted) == [["the sun", "the rain"], ["old book"], ["red film"]]


def test_a_line_without_a_token_is_left_out_and_ends_nothing(tmp_path: Path, tokenizer: Tokenizer) -> None:
    file = tmp_path / "a.txt"
    file.write_text("the sun\n\u200b\nthe day\n", encoding="utf-8")
    assert words_of(tokenizer, read_google_documents([file], tokenizer)) == [["the sun", "the day"]]


def test_only_line_feeds_end_lines(tmp_path: Path, tokenizer: Tokenizer) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes("the sun\u2028the\x85day\rnight\n".encode())
    assert len(read_google_documents([file], tokenizer)[0]) == 1


def test_documents_do_not_depend_on_how_many_lines_are_tokenized_together(
    tmp_path: Path, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.txt"
    file.write_text("the sun\nthe day\n\nold book\n" * 7, encoding="utf-8")
    together = read_google_documents([file], tokenizer)
    monkeypatch.setattr("plm.corpus.google_text._AT_ONCE", 3)
    assert read_google_documents([file], tokenizer) == together


def test_files_that_cannot_be_read_are_named(tmp_path: Path, tokenizer: Tokenizer) -> None:
    with pytest.raises(DataError, match=r"nowhere\.txt: cannot be read"):
        read_google_documents([tmp_path / "nowhere.txt"], tokenizer)
    file = tmp_path / "a.txt"
    file.write_bytes("the sun\ncaf\xe9\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"a\.txt, line 2, byte 4: not UTF-8"):
        read_google_documents([file], tokenizer)


def test_tokenizers_of_other_kinds_are_refused(tmp_path: Path) -> None:
    for name, text in bpe_files(WORDS).items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="need a WordPiece tokenizer"):
        read_google_documents([], load_tokenizer(tmp_path))
