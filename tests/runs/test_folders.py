"""A run writes where it can, and replaces nothing unasked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from plm.errors import TrainingError
from plm.runs.folders import WHILE_TRAINING, make_folder, require_free


def test_a_new_or_empty_folder_is_free(tmp_path: Path) -> None:
    require_free(tmp_path / "new" / "below", overwrite=False, resume="never")
    require_free(tmp_path, overwrite=False, resume="never")


def test_files_below_files_are_refused_before_anything_is_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for name in ("file", "file/below/it"):
        with pytest.raises(TrainingError, match="is a file; name a folder"):
            require_free(tmp_path / name, overwrite=True, resume="never")
    with pytest.raises(TrainingError, match="cannot be made: Not a directory"):
        make_folder(tmp_path / "file" / "below")


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    with pytest.raises(TrainingError, match="cannot be written to; name another output_dir"):
        require_free(tmp_path / "new", overwrite=True, resume="never")


def test_results_stay_unless_a_checkpoint_goes_on_or_overwriting_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text("{}")
    with pytest.raises(TrainingError, match="holds files already"):
        require_free(tmp_path, overwrite=False, resume="never")
    with pytest.raises(TrainingError, match=r"no checkpoint to go on from, .* would replace .*\(metrics.json\)"):
        require_free(tmp_path, overwrite=False, resume="auto")
    require_free(tmp_path, overwrite=True, resume="auto")
    (tmp_path / "checkpoints" / "update-00000003").mkdir(parents=True)
    require_free(tmp_path, overwrite=False, resume="auto")


def test_the_remains_of_a_killed_run_do_not_hinder_a_second_start(tmp_path: Path) -> None:
    for name in (*WHILE_TRAINING, ".last.aside"):
        (tmp_path / name).mkdir()
    require_free(tmp_path, overwrite=False, resume="auto")
