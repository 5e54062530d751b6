"""examples/poet_write.py with a poet that has learned nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from plm.checkpoints.saving import save_model
from tests.examples.running import run_example
from tests.tiny_models import tiny_model
from tests.tiny_poets import tiny_poet_folder, tiny_tokenizer


def test_poems_of_all_kinds_are_shown_with_their_reports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_example("poet_write", "--model", tiny_poet_folder(tmp_path), "--acrostic", "春夏秋冬")
    printed = capsys.readouterr().out
    kinds = printed.split("--- ")[1:]
    assert [kind.splitlines()[0] for kind in kinds] == [
        "at random",
        "from a beginning",
        "an acrostic",
        "the three best of 32",
    ]
    assert [kind.count("score -") for kind in kinds] == [1, 1, 1, 3]
    assert kinds[1].splitlines()[2].startswith("明月")
    lines = [line for row in kinds[2].splitlines()[2:4] for line in row.strip("。").split("，")]
    assert "".join(line[0] for line in lines) == "春夏秋冬"
    assert printed.count("✓") >= 4


def test_a_judge_can_help(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tokenizer = tiny_tokenizer()
    save_model(tiny_model("nezha", "masked_lm", vocab_size=len(tokenizer)), tmp_path / "judge")
    tokenizer.save_pretrained(tmp_path / "judge")
    (tmp_path / "poet").mkdir()
    run_example("poet_write", "--model", tiny_poet_folder(tmp_path / "poet"), "--judge", tmp_path / "judge")
    assert capsys.readouterr().out.count(", judged -") == 6
