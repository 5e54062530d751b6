"""Whole folders with a tiny random model and a tokenizer of its size, as users have them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from plm.checkpoints.saving import save_model
from plm.tokenizers import load_tokenizer
from tests.tiny_models import tiny_model

SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = (
    "good",
    "bad",
    "film",
    "book",
    "very",
    "not",
    "the",
    "was",
    "day",
    "night",
    "sun",
    "rain",
    "old",
    "red",
    "slow",
)
CHARACTERS = ("a", "s", "明", "月", "光", "##s", "##ly")
VOCABULARY = (*SPECIALS, *WORDS, *CHARACTERS)


def tiny_folder(folder: Path, family: str, *heads: str, layout: str = "huggingface", **changes: Any) -> Path:
    """Write a random model of a family with its tokenizer, and return the folder."""
    files = bpe_files(WORDS) if family == "openai-gpt" else {"vocab.txt": "".join(f"{t}\n" for t in VOCABULARY)}
    size = len(json.loads(files["vocab.json"])) if family == "openai-gpt" else len(VOCABULARY)
    model = tiny_model(family, *heads, **{"vocab_size": size, **changes}).eval()
    save_model(model, folder, layout=layout)
    aside = folder / "vocabulary"
    aside.mkdir()
    for name, text in files.items():
        (aside / name).write_text(text, encoding="utf-8")
    load_tokenizer(aside).save_pretrained(folder)
    shutil.rmtree(aside)
    return folder


def bpe_files(words: Iterable[str]) -> dict[str, str]:
    """vocab.json and merges.txt of a GPT-1 vocabulary that has every one of the words as one token."""
    tokens: dict[str, None] = {"<unk>": None}
    merges: list[str] = []
    letters = sorted({letter for word in words for letter in word})
    tokens |= dict.fromkeys([*letters, *(f"{letter}</w>" for letter in letters)])
    for word in words:
        parts = [*word[:-1], f"{word[-1]}</w>"]
        while len(parts) > 1:
            merge = f"{parts[0]} {parts[1]}"
            parts[:2] = ["".join(parts[:2])]
            if merge not in merges:
                merges.append(merge)
                tokens[parts[0]] = None
    ids = {token: number for number, token in enumerate(tokens)}
    return {"vocab.json": json.dumps(ids), "merges.txt": "\n".join(["#version: 0.2", *merges]) + "\n"}


def write_rows(path: Path, rows: Iterable[Iterable[str]]) -> Path:
    """A tsv file; the first row names the columns."""
    path.write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")
    return path
