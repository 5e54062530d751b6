"""From a path to the format of the weights there: a folder, a file, or the prefix of a TensorFlow checkpoint."""

from __future__ import annotations

from pathlib import Path

from plm.checkpoints.formats.binary import first_bytes
from plm.checkpoints.formats.format import FORMATS, Format
from plm.errors import CheckpointError


def find_weights(path: Path | str) -> tuple[Format, Path]:
    """The format and the entry to hand to its `read`.

    path: a folder (formats are tried in the order of FORMATS and the best entry is taken), one file whatever its name,
        or the prefix of a TensorFlow checkpoint (`.../bert_model.ckpt`).
    Raises CheckpointError saying what was looked for and what is there.
    """
    path = Path(path)
    if path.is_dir():
        found, entry = _in_folder(path)
        _refuse_pointer(entry)
        return found, entry
    _refuse_pointer(path)
    return _at(path)


def _at(path: Path) -> tuple[Format, Path]:
    for candidate in _candidates():
        if candidate.accepts(path):
            return candidate, path
    if not path.exists():
        raise CheckpointError(f"{path}: no such file or folder, and no {path.name}.index of a TensorFlow checkpoint")
    start = first_bytes(path, 16)
    if not start:
        raise CheckpointError(f"{path}: the file is empty or cannot be read")
    raise CheckpointError(f"{path}: none of the known formats ({', '.join(FORMATS)}); its first bytes are {start!r}")


def _in_folder(folder: Path) -> tuple[Format, Path]:
    for candidate in _candidates():
        entries = candidate.find(folder)
        if entries:
            return candidate, entries[0]
    looked = "; ".join(f"{candidate.name}: {candidate.looks_for}" for candidate in _candidates())
    names = sorted(item.name + "/" * item.is_dir() for item in folder.iterdir())
    there = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
    raise CheckpointError(
        f"{folder}: no weights found. Looked for {looked}. The folder holds {there or 'nothing'}. "
        "A file with another name can be given by its path"
    )


def _refuse_pointer(path: Path) -> None:
    if first_bytes(path).startswith(b"version https://git-lfs"):
        raise CheckpointError(f"{path}: a Git LFS pointer, not the weights: run `git lfs pull` where it was cloned")


def _candidates() -> list[Format]:
    return [FORMATS.get(name) for name in FORMATS]
