"""The example asks a service about everything that it can be asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.examples.running import run_example
from tests.serving.running import serving
from tests.tiny_folders import tiny_folder


def test_every_model_is_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    heads = {"reviews": "sequence_classification", "names": "token_classification", "words": "masked_lm"}
    folders = {name: tiny_folder(tmp_path / name, "bert", head) for name, head in heads.items()}
    folders["stories"] = tiny_folder(tmp_path / "stories", "openai-gpt", "causal_lm")
    with serving(folders) as running:
        run_example("serve_client", running.url)
    told = capsys.readouterr().out
    for line in ("reviews: bert", "class: {", "entities: [", "fits: ", "goes on: "):
        assert line in told


def test_nobody_there_is_told_in_one_line() -> None:
    with pytest.raises(SystemExit, match="unreachable: no answer"):
        run_example("serve_client", "http://127.0.0.1:1")
