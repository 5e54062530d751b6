"""A tokenizer is found by path, and costs no torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import plm
from plm.errors import CheckpointError, TokenizerError
from tests.tiny_folders import tiny_folder
from tests.tiny_models import FAMILY_NAMES


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_the_tokenizer_of_a_folder_fits_its_model(family: str, tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path, family, "sequence_classification")
    tokenizer = plm.AutoTokenizer.from_pretrained(folder)
    model = plm.AutoModelForSequenceClassification.from_pretrained(str(folder))
    assert len(tokenizer) == model.config.vocab_size
    batch = tokenizer(["the good book"], return_tensors="pt")
    assert model(**batch).logits.shape == (1, 2)


def test_a_tokenizer_imports_no_torch(tmp_path: Path) -> None:
    tiny_folder(tmp_path, "bert")
    program = """
import json, sys, plm
ids = plm.AutoTokenizer.from_pretrained(sys.argv[1])("the good book")["input_ids"]
print(json.dumps([ids, "torch" in sys.modules]))
"""
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    ids, has_torch = json.loads(done.stdout)
    assert len(ids) == 5
    assert not has_torch


def test_there_is_nothing_to_instantiate() -> None:
    with pytest.raises(OSError, match=r"use AutoTokenizer\.from_pretrained"):
        plm.AutoTokenizer()


def test_a_folder_without_vocabulary_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match=str(tmp_path)):
        plm.AutoTokenizer.from_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="nowhere: no such file or folder"):
        plm.AutoTokenizer.from_pretrained("./nowhere")
