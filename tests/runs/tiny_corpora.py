"""Prepared corpora of a few hundred sentences, each document about one word: what is hidden can be seen nearby."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np

from plm.corpus.store import DOCUMENTS, SENTENCES, TOKENIZER, TOKENS, Corpus, Manifest
from plm.tokenizers import Tokenizer, load_tokenizer
from tests.tiny_folders import VOCABULARY, WORDS, bpe_files


def tiny_tokenizer(folder: Path, kind: str = "wordpiece") -> Tokenizer:
    """The tokenizer of tests.tiny_folders, by files in a folder. kind: "wordpiece" or "bpe"."""
    folder.mkdir(parents=True)
    files = bpe_files(WORDS) if kind == "bpe" else {"vocab.txt": "".join(f"{token}\n" for token in VOCABULARY)}
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return load_tokenizer(folder)


def tiny_corpus(folder: Path, tokenizer: Tokenizer, *, documents: int = 60, seed: int = 0) -> Path:
    """Write a corpus of six sentences a document, which repeat one of WORDS; all are equally frequent."""
    source = random.Random(seed)
    words = [tokenizer.encode(word, add_special_tokens=False)[0] for word in WORDS]
    lengths = [source.choices(range(3, 8), k=6) for _ in range(documents)]
    texts = [[[words[number % len(words)]] * length for length in own] for number, own in enumerate(lengths)]
    return write_corpus(folder, Corpus.of(texts, tokenizer))


def write_corpus(folder: Path, corpus: Corpus) -> Path:
    """Write a corpus that is in memory, and return its folder."""
    folder.mkdir(parents=True)
    (folder / TOKENS).write_bytes(corpus.tokens.astype("<u2").tobytes())
    (folder / SENTENCES).write_bytes(corpus.sentences.astype("<u2").tobytes())
    (folder / DOCUMENTS).write_bytes(np.asarray(corpus.documents, dtype="<i8").tobytes())
    corpus.tokenizer.save_pretrained(folder / TOKENIZER)
    types = {TOKENS: "uint16", SENTENCES: "uint16", DOCUMENTS: "int64"}
    Manifest.of(folder, types, tokenizer=corpus.tokenizer, origin={}).write(folder)
    return folder
