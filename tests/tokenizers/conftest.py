"""Vocabularies and texts for the tests of tokenizers."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from plm.tokenizers import Tokenizer, load_tokenizer

DATA = Path(__file__).parent / "data"
SHARED = Path(os.environ.get("PLM_SHARED", Path(__file__).resolve().parents[3] / "shared"))


@pytest.fixture(scope="session")
def shared() -> Callable[[str], Path]:
    """Path inside a collection of larger real files (PLM_SHARED); skips the test where it is not there."""

    def find(name: str) -> Path:
        if not (SHARED / name).exists():
            pytest.skip(f"no {name} here; PLM_SHARED names the folder that has it")
        return SHARED / name

    return find


@pytest.fixture(scope="session")
def golden() -> Callable[[str], list[dict[str, Any]]]:
    """The rows of a golden file."""
    return lambda name: json.loads((DATA / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def uncased_file() -> Path:
    return DATA / "bert-base-uncased-vocab.txt"


@pytest.fixture(scope="session")
def chinese_file() -> Path:
    return DATA / "bert-base-chinese-vocab.txt"


@pytest.fixture(scope="session")
def gpt1_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """OpenAI's two files; the ids follow from the characters and the merges."""
    folder = tmp_path_factory.mktemp("gpt1")
    merges = (DATA / "vocab_40000.bpe").read_text(encoding="utf-8")
    characters = list(json.loads((DATA / "gpt1_characters.json").read_text(encoding="utf-8")))
    merged = [line.replace(" ", "") for line in merges.split("\n")[1:-1]]
    tokens = ["<unk>", *characters, *(c + "</w>" for c in characters), *merged, "\n</w>"]
    (folder / "vocab_40000.bpe").write_text(merges, encoding="utf-8", newline="")
    (folder / "encoder_bpe_40000.json").write_text(json.dumps({t: i for i, t in enumerate(tokens)}), encoding="utf-8")
    return folder


@pytest.fixture
def uncased(uncased_file: Path) -> Tokenizer:
    return load_tokenizer(uncased_file)


@pytest.fixture
def chinese(chinese_file: Path) -> Tokenizer:
    return load_tokenizer(chinese_file)


@pytest.fixture
def gpt1(gpt1_folder: Path) -> Tokenizer:
    return load_tokenizer(gpt1_folder)


@pytest.fixture
def write_vocab(tmp_path: Path) -> Callable[..., Path]:
    """Write a vocab.txt with the five special tokens and the given ones; returns its folder."""

    def write(*tokens: str, **files: dict[str, Any]) -> Path:
        lines = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *tokens]
        (tmp_path / "vocab.txt").write_text("\n".join(lines) + "\n", encoding="utf-8", newline="")
        for name, content in files.items():
            (tmp_path / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
        return tmp_path

    return write
