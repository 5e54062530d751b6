"""A service with tiny random models, one of each kind, for all tests that only ask."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving.running import Running, serving
from tests.tiny_folders import tiny_folder

KINDS = {
    "reviews": ("bert", "sequence_classification"),
    "names": ("bert", "token_classification"),
    "questions": ("tinybert", "question_answering"),
    "words": ("nezha", "masked_lm"),
    "stories": ("openai-gpt", "causal_lm"),
}


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders by name of the model."""
    root = tmp_path_factory.mktemp("served")
    return {
        name: tiny_folder(root / name, family, head, max_position_embeddings=40)
        for name, (family, head) in KINDS.items()
    }


@pytest.fixture(scope="session")
def service(folders: dict[str, Path]) -> Iterator[Running]:
    """All of them behind one port."""
    with serving(folders) as running:
        yield running
