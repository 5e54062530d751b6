"""`plm pretrain` runs a recipe, with other values, and goes on where it stopped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Plm
from tests.runs.tiny_corpora import tiny_corpus, tiny_tokenizer


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    corpus = tiny_corpus(tmp_path / "corpus", tiny_tokenizer(tmp_path / "tokenizer"), documents=9)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    (tmp_path / "small.json").write_text(json.dumps({"model_type": "bert", **sizes}))
    path = tmp_path / "recipe.toml"
    path.write_text(
        f"""
model = "{tmp_path / "small.json"}"
output_dir = "{tmp_path / "out"}"
log_to = ["jsonl"]

[corpus]
train = "{corpus}"
dev = "{corpus}"

[examples]
kind = "pairs"

[[phases]]
max_length = 16
batch_size = 4
max_steps = 2
learning_rate = 1e-3

[[phases]]
max_length = 24
batch_size = 4
max_steps = 1
learning_rate = 1e-3

[training]
save_strategy = "epoch"
"""
    )
    return path


def test_a_recipe_is_trained_and_values_win_over_it(plm: Plm, recipe: Path, tmp_path: Path) -> None:
    result = plm("pretrain", recipe, "--set", "phases.1.max_steps=2", "--set", "training.seed=7", "--json")
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    assert told["training"]["updates"] == 4
    assert {"loss", "masked_lm_accuracy", "next_sentence_accuracy", "unigram_loss"} <= told["metrics"].keys()
    written = json.loads((tmp_path / "out" / "run.json").read_text())
    assert (written["phases"][1]["max_steps"], written["training"]["seed"]) == (2, 7)
    assert plm("pretrain", tmp_path / "out" / "run.json", "--set", f"output_dir={tmp_path / 'again'}").exit_code == 0
    first, again = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("out", "again"))
    assert first == again


def test_a_finished_run_is_not_begun_anew_unasked(plm: Plm, recipe: Path) -> None:
    assert plm("pretrain", recipe).exit_code == 0
    refused = plm("pretrain", recipe)
    assert (refused.exit_code, "holds files already" in refused.stderr) == (1, True)
    resumed = plm("pretrain", recipe, "--resume")
    assert resumed.exit_code == 0, resumed.stderr
    assert "finished after 3 updates" in resumed.stdout


def test_a_wrong_value_is_an_error_in_one_line(plm: Plm, recipe: Path) -> None:
    result = plm("pretrain", recipe, "--set", "training.max_steps=5")
    assert result.exit_code == 1
    assert "'max_steps' is said by each of the phases" in result.stderr
    assert result.stderr.count("\n") == 1
