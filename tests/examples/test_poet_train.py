"""examples/poet_train.py on a handful of poems."""

from __future__ import annotations

from pathlib import Path

import pytest

from plm.config import write_json
from tests.examples.running import run_example
from tests.runs.test_poet import POEMS


def test_a_tiny_poet_is_trained_and_judged_by_what_it_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    poems, model = tmp_path / "poems.txt", tmp_path / "poet.json"
    poems.write_text("\n".join(POEMS) + "\n", encoding="utf-8")
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    write_json(model, {"model_type": "nezha", **sizes})
    settings = ("task.min_count=1", "task.held_out=0.2", "training.num_train_epochs=1", "training.precision=fp32")
    changes = [part for setting in settings for part in ("--set", setting)]
    run_example("poet_train", poems, "--model", model, *changes, "--output", tmp_path / "poet")
    printed = capsys.readouterr().out
    assert "dev perplexity" in printed
    for told in ("form alone", "form and title", "form and all wishes", "form, title and all wishes"):
        assert told in printed
