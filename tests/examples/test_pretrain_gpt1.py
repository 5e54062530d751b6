"""The example that pretrains GPT-1: text files in, a model out that says what comes next."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from tests.examples.running import run_example
from tests.runs.tiny_corpora import tiny_tokenizer
from tests.tiny_folders import WORDS

SIZES = {"n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": 32}


def texts(path: Path, *, lines: int, seed: int) -> Path:
    """A document a line, in which each word is followed by the next one of the list."""
    source = random.Random(seed)
    starts = [source.randrange(len(WORDS)) for _ in range(lines)]
    text = (" ".join((WORDS * 2)[start : start + len(WORDS)]) for start in starts)
    path.write_text("\n\n".join(text), encoding="utf-8")
    return path


def test_it_learns_what_comes_next_in_raw_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny_tokenizer(tmp_path / "words", "bpe")
    (tmp_path / "tiny.json").write_text(json.dumps({"model_type": "openai-gpt", **SIZES}))
    run_example(
        "pretrain_gpt1",
        texts(tmp_path / "train.txt", lines=60, seed=1),
        texts(tmp_path / "dev.txt", lines=20, seed=2),
        *("--tokenizer", tmp_path / "words", "--architecture", tmp_path / "tiny.json", "--output", tmp_path / "out"),
        *("--max-length", "16", "--batch-size", "16", "--updates", "100", "--learning-rate", "1e-2"),
        *("--ask", "good bad film"),
    )
    printed = capsys.readouterr().out
    scores = dict(line.split(": ") for line in printed.splitlines() if ": " in line)
    learned, frequent = scores["perplexity of the other text"], scores["for who knows how frequent words are"]
    assert float(learned) < float(frequent) / 3
    asked, best = printed.splitlines()[-6:-4]
    assert asked == "good bad film ..."
    assert best.endswith("  book")
