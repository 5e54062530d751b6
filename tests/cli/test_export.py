"""plm export does from a shell what plm.backends.exporting.export does from Python."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from plm.blocks.int8 import int8_supported
from plm.cli.export import command

pytestmark = pytest.mark.skipif(not int8_supported(), reason="this torch has no kernels for eight bits here")


def test_it_prints_what_was_written_and_the_largest_difference(classifier: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(command, [str(classifier), str(tmp_path / "int8"), "--to", "int8"])
    assert result.exit_code == 0, result.stderr
    assert "model.safetensors" in result.stdout
    assert "logits: largest difference to eager PyTorch" in result.stdout


def test_it_prints_json_and_verifies_only_if_wanted(classifier: Path, tmp_path: Path) -> None:
    arguments = [
        str(classifier),
        str(tmp_path / "int8"),
        "--to",
        "int8",
        "--dtype",
        "bfloat16",
        "--no-verify",
        "--json",
    ]
    report = json.loads(CliRunner().invoke(command, arguments).stdout)
    assert report["dtype"] == "bfloat16"
    assert report["proofs"] == {}


def test_a_form_that_is_not_there_is_named(classifier: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(command, [str(classifier), str(tmp_path / "x"), "--to", "int4"])
    assert result.exit_code == 2
    assert "int8" in result.stderr
