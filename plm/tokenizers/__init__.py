"""Tokenizers of BERT, NEZHA, TinyBERT (WordPiece) and GPT-1 (byte pairs), thin on the Rust package `tokenizers`.

    tokenizer = load_tokenizer("folder")                    # tokenizer.json, vocab.txt or GPT-1's two files
    batch = tokenizer(["one", "two"], max_length=128, padding=True, return_tensors="pt")
    tokenizer.decode(batch["input_ids"][0], skip_special_tokens=True)
    smaller, kept_ids = prune_tokenizer(tokenizer, count_tokens(tokenizer, corpus))

How ids compare with those of Google, OpenAI and transformers: docs/tokenizers.md. Importing costs no torch.
"""

from __future__ import annotations

from plm.tokenizers.encoding import BatchEncoding
from plm.tokenizers.pruning import count_tokens, prune_tokenizer
from plm.tokenizers.store import load_tokenizer, save_tokenizer
from plm.tokenizers.tokenizer import Tokenizer

__all__ = ["BatchEncoding", "Tokenizer", "count_tokens", "load_tokenizer", "prune_tokenizer", "save_tokenizer"]
