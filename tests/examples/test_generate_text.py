"""The example that goes on with texts: trained on the spot, and with a model that is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.examples.running import run_example
from tests.tiny_folders import tiny_folder


def ways(printed: str) -> list[str]:
    """The first words of the lines that show texts."""
    return [line.split()[0] for line in printed.splitlines() if " ..." in line]


def test_a_bert_that_was_trained_a_little_says_something(capsys: pytest.CaptureFixture[str]) -> None:
    run_example("generate_text", "--updates", "2", "--prompt", "play the song")
    printed = capsys.readouterr().out
    assert ways(printed) == ["likeliest", *["drawn"] * 3, *["beams"] * 2, "stream"]
    assert "play the song ..." in printed


def test_a_folder_is_asked_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tiny_folder(tmp_path / "model", "openai-gpt", "causal_lm")
    run_example("generate_text", "--model", model, "--prompt", "the film was")
    printed = capsys.readouterr().out
    assert len(ways(printed)) == 7
    assert printed.count("the film was ...") == 7
