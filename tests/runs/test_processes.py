"""A recipe gives the same model with one process and with two, which torchrun starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.tiny_folders import tiny_folder, write_rows

ROWS = [("label", "text"), *[("good", "the good film"), ("bad", "the very old bad book"), ("good", "good")] * 5]
TAGGED = "the O\nold B-X\nbook I-X\n\nsun B-Y\nwas O\n\nred B-X\nday I-X\nnight O\nbad O\n\n" * 5


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """Two tasks of unlike sizes, a learned average, an evaluation of each."""
    table = write_rows(tmp_path / "t.tsv", ROWS)
    tagged = tmp_path / "t.conll"
    tagged.write_text(TAGGED)
    start = tiny_folder(tmp_path / "start", "bert")
    path = tmp_path / "run.toml"
    path.write_text(
        f"""
model = "{start}"
output_dir = "{tmp_path / "alone"}"
log_to = ["jsonl"]
device = "cpu"

[tasks.mood]
kind = "classification"
train = "{table}"
dev = "{table}"
batch_size = 4

[tasks.things]
kind = "tagging"
train = "{tagged}"
dev = "{tagged}"
batch_size = 3

[training]
learning_rate = 1e-2
adam_epsilon = 1e-2  # or rounding, where a gradient is 0, would become a whole step
num_train_epochs = 2
gradient_accumulation_steps = 4
ema_decay = 0.5
label_smoothing = 0.1
log_every = 1
"""
    )
    return path


def test_two_processes_train_what_one_does(recipe: Path, tmp_path: Path) -> None:
    command = ["-m", "plm", "train", str(recipe)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    together = [*torchrun, *command, "--set", f"output_dir={tmp_path / 'together'}"]
    for arguments in (command, together):
        done = subprocess.run(
            [sys.executable, *arguments], env=environment, capture_output=True, text=True, timeout=200, check=False
        )
        assert done.returncode == 0, done.stderr
    assert done.stdout.count("mood/accuracy") == 1  # only the first process tells
    alone, both = (load_file(tmp_path / name / "model.safetensors") for name in ("alone", "together"))
    for name, tensor in alone.items():
        torch.testing.assert_close(both[name], tensor, atol=1e-5, rtol=0)
    logs = [
        [json.loads(line) for line in (tmp_path / name / "train_log.jsonl").read_text().splitlines()]
        for name in ("alone", "together")
    ]
    assert [entry["kind"] for entry in logs[0]] == [entry["kind"] for entry in logs[1]]
    for one, other in zip(*logs, strict=True):
        shared = {name for name in one if name not in ("seconds", "tokens_per_second")}
        assert {name: other[name] for name in shared} == pytest.approx({name: one[name] for name in shared}, abs=1e-5)
    tables = [(tmp_path / name / "things_dev_predictions.tsv").read_text() for name in ("alone", "together")]
    assert tables[0] == tables[1]
