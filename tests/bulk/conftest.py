"""Small models and tables for bulk work."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plm.data import Columns
from tests.tiny_folders import WORDS, tiny_folder

Write = Callable[..., Path]
TEXT = Columns(text="text")


def rows(path: Path) -> list[dict[str, Any]]:
    """Of a file of JSON lines."""
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="session")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random classifier of two classes."""
    folder = tmp_path_factory.mktemp("bulk") / "classifier"
    return tiny_folder(folder, "bert", "sequence_classification", id2label={0: "bad", 1: "good"})


@pytest.fixture(scope="session")
def texts() -> list[str]:
    """A hundred texts of different lengths."""
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(WORDS, rng.integers(1, 12))) for _ in range(100)]


@pytest.fixture
def json_lines(tmp_path: Path) -> Callable[[Iterable[str]], Path]:
    """Writes texts as objects, one a line."""

    def write(texts: Iterable[str], name: str = "texts.jsonl") -> Path:
        path = tmp_path / name
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        return path

    return write
