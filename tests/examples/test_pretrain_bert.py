"""The example that pretrains BERT and NEZHA: text files in, a model out that fills in words."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from tests.examples.running import run_example
from tests.runs.tiny_corpora import tiny_tokenizer
from tests.tiny_folders import WORDS

SIZES = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}


def texts(path: Path, *, documents: int, seed: int) -> Path:
    """Documents of eight sentences that repeat one word: what is hidden can be seen nearby."""
    source = random.Random(seed)
    words = (WORDS[number % len(WORDS)] for number in range(documents))
    text = ("".join(" ".join([word] * source.randint(3, 7)) + "\n" for _ in range(8)) for word in words)
    path.write_text("\n".join(text), encoding="utf-8")
    return path


@pytest.mark.parametrize("family", ["bert", "nezha"])
def test_it_learns_to_fill_in_words_of_raw_text(
    family: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny_tokenizer(tmp_path / "words")
    (tmp_path / "tiny.json").write_text(json.dumps({"model_type": family, **SIZES}))
    run_example(
        "pretrain_bert",
        texts(tmp_path / "train.txt", documents=60, seed=1),
        texts(tmp_path / "dev.txt", documents=30, seed=2),
        *("--tokenizer", tmp_path / "words", "--architecture", tmp_path / "tiny.json", "--output", tmp_path / "out"),
        *("--max-length", "24", "--batch-size", "16", "--updates", "200", "--learning-rate", "1e-2"),
        *("--ask", "film film [MASK] film"),
    )
    printed = capsys.readouterr().out
    scores = dict(line.split(": ") for line in printed.splitlines() if ": " in line)
    learned, frequent = scores["hidden words guessed right"], scores["by the most frequent word alone"]
    assert float(learned) > 2 * float(frequent)
    asked, best = printed.splitlines()[-2:]
    assert asked == "film film [MASK] film"
    assert "film " in best
    assert best.count(",") == 4
    assert (tmp_path / "out" / "corpus" / "report.md").exists()
