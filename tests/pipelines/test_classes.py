"""A folder that GPT-1's own fine-tuning wrote is asked as it was trained, with its tokens around the text."""

from __future__ import annotations

from pathlib import Path

import pytest

import plm
from plm.errors import DataError
from plm.runs import RunConfig, TaskData, predict, train
from plm.tasks import Gpt1Classification
from plm.training import TrainingConfig
from tests.tiny_folders import tiny_folder, write_rows

TEXTS = ["the good film", "the bad film", "good day", "bad day"]


def test_the_pipeline_says_what_the_task_says(tmp_path: Path) -> None:
    rows = [("label", "text"), *((text.split()[-2], text) for text in TEXTS * 6)]
    file = str(write_rows(tmp_path / "t.tsv", rows))
    config = RunConfig(
        model=str(tiny_folder(tmp_path / "start", "openai-gpt")),
        output_dir=str(tmp_path / "out"),
        task=TaskData(task=Gpt1Classification(), train=file, dev=file, batch_size=4),
        log_to=(),
        training=TrainingConfig(learning_rate=1e-2, num_train_epochs=10),
    )
    assert train(config).metrics["accuracy"] >= 0.75
    classify = plm.pipeline("text-classification", tmp_path / "out")
    said = classify(TEXTS)
    expected = predict(tmp_path / "out", file).answers[: len(TEXTS)]
    assert [one["label"] for one in said] == [one.label for one in expected]
    assert [one["score"] for one in said] == pytest.approx([one.probability for one in expected], abs=1e-5)
    with pytest.raises(DataError, match="text 1: expected a string or a pair"):
        classify(["good", 3])
