"""Where a run may write: into a folder that can be, and where nothing of worth is lost."""

from __future__ import annotations

import os
from pathlib import Path

from plm.checkpoints.destination import OVERWRITE
from plm.errors import TrainingError

WHILE_TRAINING = frozenset(
    ("best", "last", "checkpoints", "train_log.jsonl", "train_log.csv", "tensorboard", "curve.png", "report.md")
)
"""What a run has written before it ends; one that was killed left nothing else."""


def require_free(folder: Path, *, overwrite: bool, resume: str) -> None:
    """Raise TrainingError when a run cannot write into a folder, or would replace what it does not go on from.

    overwrite: True = the folder may hold files. resume: as in TrainingConfig; "auto" where no checkpoint is means to
    begin anew, which is done beside the remains of a run that was killed, not beside results.
    """
    _require_writable(folder)
    held = {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
    if overwrite or not held:
        return
    if resume == "never":
        raise TrainingError(f"{folder}: holds files already; name a new folder, or {OVERWRITE}")
    lost = sorted(name for name in held - WHILE_TRAINING if not name.startswith("."))
    if resume == "auto" and lost and not any(folder.glob("checkpoints/update-*")):
        raise TrainingError(
            f"{folder}: has no checkpoint to go on from, and training anew would replace what it holds "
            f"({', '.join(lost[:3])}{', ...' if len(lost) > 3 else ''}); name a new folder, or "
            f"{OVERWRITE}; checkpoints are written with training.save_strategy"
        )


def make_folder(folder: Path) -> None:
    """Make a folder and those above it. Raises TrainingError saying what is in the way."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(f"{folder}: cannot be made: {error.strerror}; name another output_dir") from error


def _require_writable(folder: Path) -> None:
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not nearest.is_dir():
        where = "" if nearest == folder else f"{nearest} "
        raise TrainingError(f"{folder}: {where}is a file; name a folder for the results")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise TrainingError(f"{folder}: {nearest} cannot be written to; name another output_dir")
