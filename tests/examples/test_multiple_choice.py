"""The example for multiple choice runs on the dialogues beside it, and chooses."""

from __future__ import annotations

from pathlib import Path

import pytest

from plm.tasks import MultipleChoice
from tests.examples.running import FOLDER, run_example
from tests.tiny_folders import tiny_folder


def test_it_trains_on_its_dialogues_and_marks_its_choice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tiny_folder(tmp_path / "start", "bert", max_position_embeddings=256)
    run_example("multiple_choice", "--model", model, "--output", tmp_path / "out", "--epochs", "1")
    printed = capsys.readouterr().out
    assert "dev accuracy: " in printed
    assert printed.count("-> ") == 3
    assert (tmp_path / "out" / "model.safetensors").exists()


def test_the_dialogues_beside_it_are_in_the_format_of_dream() -> None:
    task = MultipleChoice(format="dream")
    for name, count in (("train", 12), ("dev", 4)):
        questions = task.read(FOLDER / "data" / "dialogues" / f"{name}.json")
        task.check(questions)
        assert len(questions) == count
