"""The example for GPT-1: a balanced part of a folder that is sorted by label is learned, and tested on the rest."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

import pytest

from tests.examples.running import FOLDER, run_example
from tests.tiny_folders import tiny_folder

SIZES = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}


def reviews(folder: Path, *, each: int) -> Path:
    """Texts with "good" in pos and "bad" in neg, in IMDb's folders and with its line ends."""
    source = random.Random(3)
    for split in ("train", "test"):
        for label, word in (("pos", "good"), ("neg", "bad")):
            (folder / split / label).mkdir(parents=True)
            for number in range(each):
                words = source.sample(["film", "book", "day", "night"], k=2)
                text = f"the {words[0]}<br /><br />was {word} {words[1]}"
                (folder / split / label / f"{number}.txt").write_text(text, encoding="utf-8")
    return folder


def test_it_learns_a_balanced_sample_and_prints_the_test_score(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, model = reviews(tmp_path / "data", each=30), tiny_folder(tmp_path / "start", "openai-gpt", **SIZES)
    small = ("--max-length", "24", "--batch-size", "4", "--epochs", "2", "--sample", "40")
    run_example("gpt1_sentiment", data, "--model", model, "--output", tmp_path / "out", *small)
    rows = {
        name: [json.loads(line) for line in (tmp_path / "out" / f"{name}.jsonl").read_text("utf-8").splitlines()]
        for name in ("train", "dev", "test")
    }
    counts = {name: Counter(row["label"] for row in split) for name, split in rows.items()}
    assert counts == {name: {"pos": n, "neg": n} for name, n in (("train", 20), ("dev", 3), ("test", 30))}
    assert "<br" not in str(rows)
    printed = capsys.readouterr().out
    assert "test accuracy of GPT-1: " in printed
    assert "test accuracy of naive Bayes: 1.0000" in printed


def test_the_reviews_beside_it_are_as_many_of_each_label() -> None:
    for split, each in (("train", 8), ("test", 4)):
        for label in ("pos", "neg"):
            assert len(list((FOLDER / "data" / "reviews" / split / label).glob("*.txt"))) == each
