"""Where the small real files lie that tests compare with: checkpoints and outputs of the original frameworks."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
COMMITTED = REPOSITORY / "tests" / "golden"
BESIDE = REPOSITORY.parent / "shared" / "checkpoints"  # a larger set, for those who have it


def checkpoints_root() -> Path:
    """The folder of checkpoints: PLM_CHECKPOINTS if set, the larger set beside the repository if there, else ours."""
    named = os.environ.get("PLM_CHECKPOINTS")
    if named:
        return Path(named)
    return BESIDE if BESIDE.is_dir() else COMMITTED


def checkpoint(name: str) -> Path:
    """The folder of one checkpoint, in the root or among the committed ones; skips the test where neither has it."""
    for folder in (checkpoints_root() / name, COMMITTED / name):
        if folder.is_dir():
            return folder
    pytest.skip(f"no checkpoint {name!r} here; point PLM_CHECKPOINTS to the full set")
