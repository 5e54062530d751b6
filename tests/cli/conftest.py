"""A runner of commands that keeps standard output and standard error apart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from plm.cli import main
from tests.tiny_folders import tiny_folder

Plm = Callable[..., Result]


@pytest.fixture
def plm() -> Plm:
    """`plm(*arguments, input=...)` runs the command line in this process."""

    def run(*arguments: object, input: str | bytes | None = None) -> Result:
        return CliRunner().invoke(main, [str(argument) for argument in arguments], input=input)

    return run


@pytest.fixture(scope="session")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random classifier of two classes with its tokenizer."""
    folder = tmp_path_factory.mktemp("cli") / "classifier"
    return tiny_folder(folder, "bert", "sequence_classification", id2label={0: "bad", 1: "good"})
