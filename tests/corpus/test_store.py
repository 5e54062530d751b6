"""A corpus in a folder: what was written comes back, and what was changed is noticed."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plm.corpus.draft import Draft, clear_draft
from plm.corpus.store import Corpus, Manifest, token_type
from plm.errors import DataError
from plm.tokenizers import Tokenizer, save_tokenizer

DOCUMENTS = [[[5, 6, 7], [8]], [[9, 10]], [[11], [12], [13, 14, 15, 16]]]


def write(folder: Path, tokenizer: Tokenizer, documents: list[list[list[int]]], *, with_words: bool = False) -> Path:
    flat = [sentence for document in documents for sentence in document]
    ids = np.array([id_ for sentence in flat for id_ in sentence])
    ends = np.cumsum([len(document) for document in documents], dtype=np.int64)
    with Draft(folder, origin={}, vocabulary=len(tokenizer), with_words=with_words) as draft:
        draft.add(ids, np.array([len(one) for one in flat]), ends, ids % 2 == 0 if with_words else None)
        draft.commit()
        types = draft.finish()
    save_tokenizer(tokenizer, folder / "tokenizer")
    Manifest.of(folder, types, tokenizer=tokenizer, origin={}).write(folder)
    clear_draft(folder)
    return folder


@pytest.mark.parametrize("with_words", [False, True])
def test_what_was_written_is_read(tmp_path: Path, tokenizer: Tokenizer, with_words: bool) -> None:
    corpus = Corpus.open(write(tmp_path / "c", tokenizer, DOCUMENTS, with_words=with_words), verify=True)
    assert [corpus.document(number) for number in range(len(corpus))] == DOCUMENTS
    assert corpus.tokens.dtype == corpus.sentences.dtype == np.uint16
    assert corpus.tokenizer.get_vocab() == tokenizer.get_vocab()
    assert corpus.has_word_starts == with_words
    if with_words:
        assert corpus.word_starts(np.arange(3, 11)).tolist() == [id_ % 2 == 0 for id_ in range(8, 16)]
    else:
        with pytest.raises(DataError, match="prepared without a segmenter"):
            corpus.word_starts(np.arange(1))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.lists(st.integers(0, 900), min_size=1, max_size=5), min_size=1, max_size=4), max_size=6))
def test_in_memory_and_on_disk_are_the_same(
    tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer, documents: list[list[list[int]]]
) -> None:
    held = Corpus.of(documents, tokenizer)
    stored = Corpus.open(write(tmp_path_factory.mktemp("c") / "c", tokenizer, documents))
    for name in ("tokens", "sentences", "documents"):
        assert getattr(held, name).tolist() == getattr(stored, name).tolist()
    assert [stored.document(number) for number in range(len(stored))] == documents


def test_a_corpus_travels_to_other_processes_by_name(tmp_path: Path, tokenizer: Tokenizer) -> None:
    stored, held = Corpus.open(write(tmp_path / "c", tokenizer, DOCUMENTS)), Corpus.of(DOCUMENTS, tokenizer)
    assert len(pickle.dumps(stored)) < 500
    for corpus in (stored, held):
        assert pickle.loads(pickle.dumps(corpus)).document(2) == DOCUMENTS[2]


def test_the_fingerprint_changes_with_the_tokens(tokenizer: Tokenizer) -> None:
    one, other = (Corpus.of([[[5, last]]], tokenizer).fingerprint() for last in (6, 7))
    assert one != other
    assert one == Corpus.of([[[5, 6]]], tokenizer).fingerprint()


def test_large_vocabularies_get_larger_numbers() -> None:
    assert (token_type(65536), token_type(65537)) == (np.uint16, np.uint32)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def alter(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1] + b"\x07")


@pytest.mark.parametrize(
    ("damage", "name", "message"),
    [
        (Path.unlink, "tokens.bin", "tokens.bin: is missing"),
        (cut, "tokens.bin", "tokens.bin: expected 24 bytes, got 23"),
        (alter, "sentences.bin", "SHA-256 differs"),
        (Path.unlink, "manifest.json", "is no prepared corpus"),
        (cut, "manifest.json", None),
    ],
)
def test_damage_is_noticed(tmp_path: Path, tokenizer: Tokenizer, damage, name: str, message: str | None) -> None:  # type: ignore[no-untyped-def]
    folder = write(tmp_path / "c", tokenizer, DOCUMENTS)
    damage(folder / name)
    if message is None:
        (folder / name).write_text("{")
    with pytest.raises(DataError, match=message or "is damaged"):
        Corpus.open(folder, verify=True)


def test_files_of_different_corpora_do_not_mix(tmp_path: Path, tokenizer: Tokenizer) -> None:
    folder = write(tmp_path / "c", tokenizer, DOCUMENTS)
    other = write(tmp_path / "other", tokenizer, [[[1], [2], [3]], [[4], [5]], [[6]]])  # as many
    (folder / "documents.bin").write_bytes((other / "documents.bin").read_bytes())
    with pytest.raises(DataError, match="do not fit each other"):
        Corpus.open(folder)


def test_empty_documents_are_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(DataError, match="no empty sentences"):
        Corpus.of([[]], tokenizer)
