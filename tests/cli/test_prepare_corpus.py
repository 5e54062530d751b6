"""`plm prepare-corpus`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from plm.corpus.store import Corpus
from tests.cli.conftest import Plm


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.jsonl"
    path.write_text('{"body": "One sentence. Another one."}\n{"body": "A second document."}\n')
    return path


def test_text_becomes_a_corpus_that_can_be_opened(plm: Plm, tmp_path: Path, text: Path) -> None:
    options = ("--tokenizer", "plm/tiny-en", "--layout", "jsonl", "--field", "body")
    told = plm("prepare-corpus", text, "--output-dir", tmp_path / "c", *options)
    assert told.exit_code == 0, told.output
    assert "2 documents, 3 sentences" in told.output
    assert len(Corpus.open(tmp_path / "c")) == 2
    assert "Contents" in (tmp_path / "c" / "report.md").read_text()
    again = plm("prepare-corpus", text, "--output-dir", tmp_path / "c", *options, "--overwrite", "--json")
    assert json.loads(again.output)["documents"] == 2


def test_what_is_wrong_is_said_in_a_line(plm: Plm, tmp_path: Path, text: Path) -> None:
    told = plm(
        "prepare-corpus", text, "--output-dir", tmp_path / "c", "--tokenizer", "plm/tiny-en", "--layout", "jsonl"
    )
    assert told.exit_code == 1
    assert "text.jsonl, line 1" in told.output


def test_options_of_one_engine_are_refused_with_another(plm: Plm, tmp_path: Path, text: Path) -> None:
    wanted = ("--output-dir", tmp_path / "c", "--tokenizer", "plm/tiny-en")
    for options in (("--engine", "ray", "--workers", "2"), ("--ray-address", "10.0.0.1:6379")):
        told = plm("prepare-corpus", text, *wanted, *options)
        assert told.exit_code == 2
        assert "--workers belongs to --engine local" in told.output


def test_its_processes_stay_without_torch() -> None:
    program = "import sys, plm.cli.prepare_corpus; print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "False"
