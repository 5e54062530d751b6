"""Folders that are whole or not there."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable
from pathlib import Path


def save_folder(folder: Path, save: Callable[[Path], None]) -> None:
    """Let `save` fill a new folder beside `folder`, then put it in its place.

    When `save` fails, the old folder stands untouched. Folders cannot be exchanged in one step: a crash between the two
    renames leaves the old one beside, under a name that starts with a dot and its own name.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    mark = uuid.uuid4().hex[:8]
    fresh, old = (folder.with_name(f".{folder.name}.{kind}-{mark}") for kind in ("new", "old"))
    fresh.mkdir()
    try:
        save(fresh)
        if folder.exists():
            folder.rename(old)
        fresh.rename(folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)
