"""Text that comes in many blocks, for what prepares corpora."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from plm.auto.tokenizer import AutoTokenizer
from plm.corpus import prepare as preparing
from plm.tokenizers import Tokenizer


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return AutoTokenizer.from_pretrained("plm/tiny-en")


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Text comes in many blocks, and every one is committed."""
    monkeypatch.setattr(preparing, "BLOCK_BYTES", 200)
    monkeypatch.setattr(preparing, "COMMIT_EVERY", 0.0)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """A folder of a plain file and a packed one, seventeen documents in all."""
    folder = tmp_path / "text"
    folder.mkdir()
    lines = [f"The {name} sat on mat {n}.\n" + "\n" * (n % 7 == 6) for n in range(60) for name in ("cat", "dog")]
    (folder / "a.txt").write_text("".join(lines[:70]))
    (folder / "b.txt.gz").write_bytes(gzip.compress("".join(lines[70:]).encode()))
    return folder
