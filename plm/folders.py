"""Files and folders that are whole or not there, also after a crash or a power cut."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """An empty file beside `path` to write to, which takes its name when the block ends, and vanishes with an error.

    A crash leaves the old file or the new one, never half. The folder has to be there.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(descriptor)
    aside = Path(name)
    try:
        yield aside
        _apply_umask(aside)
        sync(aside)
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def save_folder(folder: Path, save: Callable[[Path], None]) -> None:
    """Let `save` fill a new folder beside `folder`, then put it in its place.

    Every file is on the disk before it has its name. When `save` fails, the old folder stands untouched. Folders cannot
    be exchanged in one step: a crash between the two renames leaves the old one beside, under a name that starts with a
    dot and its own name; `clear_leftovers`, called first, brings it back.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    clear_leftovers(folder)
    fresh = _beside(folder, "new")
    fresh.mkdir()
    try:
        save(fresh)
        put_in_place(fresh, folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def put_in_place(fresh: Path, folder: Path) -> None:
    """Give a filled folder the name of another beside it, which goes if it is there, once every file is on the disk."""
    old = _beside(folder, "old")
    _sync_all(fresh)
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    sync(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def clear_leftovers(folder: Path) -> None:
    """Remove what a killed `save_folder` left beside `folder`; bring the old one back if no other is in its place."""
    for old in folder.parent.glob(f".{folder.name}.old-*"):
        if folder.exists():
            shutil.rmtree(old)
        else:
            old.rename(folder)
    for fresh in folder.parent.glob(f".{folder.name}.new-*"):
        shutil.rmtree(fresh)


def sync(path: Path) -> None:
    """Have a file, or the names in a folder, on the disk before going on."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _apply_umask(path: Path) -> None:
    """Give a file the permissions that `open` would have given it (temporary files are created private)."""
    umask = os.umask(0)
    os.umask(umask)
    path.chmod(0o666 & ~umask)


def _beside(folder: Path, kind: str) -> Path:
    """A name that is free."""
    return folder.with_name(f".{folder.name}.{kind}-{uuid.uuid4().hex[:8]}")


def _sync_all(folder: Path) -> None:
    for path in sorted(folder.rglob("*")):
        sync(path)
    sync(folder)
