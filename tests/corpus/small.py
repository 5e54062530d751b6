"""Corpora of made-up ids, for tests."""

from __future__ import annotations

import numpy as np

import plm
from plm.corpus.store import Corpus

TOKENIZER = plm.AutoTokenizer.from_pretrained("plm/tiny-en")
ORDINARY = [id_ for id_ in range(len(TOKENIZER)) if id_ not in TOKENIZER.all_special_ids]


def random_corpus(
    documents: int, *, sentences: int = 30, tokens: int = 20, seed: int = 0, word_starts: bool = False
) -> Corpus:
    """Documents of 1 to `sentences` sentences of 1 to `tokens` random tokens."""
    draw = np.random.default_rng(seed)
    made = [
        [draw.choice(ORDINARY, draw.integers(1, tokens + 1)).tolist() for _ in range(draw.integers(1, sentences + 1))]
        for _ in range(documents)
    ]
    count = sum(len(sentence) for document in made for sentence in document)
    return Corpus.of(made, TOKENIZER, word_starts=(draw.random(count) < 0.5).tolist() if word_starts else None)
