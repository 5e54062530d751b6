"""Checks of the files themselves: who may read them, what an interrupted save left, which of two will be read."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from fnmatch import fnmatchcase
from itertools import pairwise
from pathlib import Path

from plm.checkpoints.doctor.patient import Patient, Remark
from plm.checkpoints.formats import FORMATS, Format
from plm.checkpoints.formats.shards import INDEX_SUFFIX
from plm.checkpoints.loading import load_model
from plm.checkpoints.verification import compare_tensors
from plm.config import read_json
from plm.errors import PlmError

# Names of files that are being written, by this library (hidden, with a random end) and by others.
UNFINISHED = (".*.????????", ".saving-*", ".filling-*", "*.tmp", "*.part", "*.incomplete", "*.lock", "tmp_*")

SHARDS = {"safetensors": "model", "bin": "pytorch_model"}


def permissions(patient: Patient) -> Iterator[Remark]:
    """Can others read what the umask lets them read? Some libraries save files that only their owner can."""
    usual = 0o666 & ~_umask()
    faults = 0
    for file in _files(patient.folder):
        mode = stat.S_IMODE(file.stat().st_mode)
        lacking = usual & ~mode & 0o444
        faults += bool(lacking or mode & 0o002)
        if lacking:
            yield "warning", f"{file.name} has mode {mode:04o}: others cannot read it; chmod {usual:o} {file.name}"
        elif mode & 0o002:
            yield "warning", f"{file.name} has mode {mode:04o}: anybody may change it; chmod {usual:o} {file.name}"
    if not faults:
        yield "ok", f"all files can be read as the umask allows ({usual:04o})"


def leftovers(patient: Patient) -> Iterator[Remark]:
    """Files of interrupted saves, and shards of an earlier one."""
    names = sorted(item.name for item in patient.folder.iterdir())
    unfinished = [name for name in names if any(fnmatchcase(name, pattern) for pattern in UNFINISHED)]
    for name in unfinished:
        yield "warning", f"{name}: left by an interrupted save or download; delete it if none is running"
    stale = [shard for suffix, stem in SHARDS.items() for shard in _stale_shards(patient.folder, stem, suffix)]
    for name in stale:
        yield "warning", f"{name}: a shard that no index names, left by an earlier save; delete it"
    single = [f"{stem}.{suffix}" for suffix, stem in SHARDS.items()]
    both = [name for name in single if {name, name + INDEX_SUFFIX} <= set(names)]
    for name in both:
        yield (
            "warning",
            f"{name} and {name}{INDEX_SUFFIX} are both there, and {name} is read; delete one with its files",
        )
    if not (unfinished or stale or both):
        yield "ok", "no unfinished files, no stale shards"


def copies(patient: Patient) -> Iterator[Remark]:
    """Where weights are stored in several formats: are they the same?"""
    entries = [entries[0] for _, one in FORMATS.items() if (entries := _entries(one, patient.folder))]
    if len(entries) < 2:
        yield "ok", "the weights are stored once"
        return
    for first, second in pairwise(entries):
        try:
            unequal = compare_tensors(load_model(first, dtype=None)[0], load_model(second, dtype=None)[0])
        except PlmError as error:
            yield "error", f"{first.name} and {second.name} are both there and cannot be compared: {error}"
            continue
        if unequal:
            some = ", ".join(unequal[:3]) + (", ..." if len(unequal) > 3 else "")
            yield (
                "error",
                f"{first.name} and {second.name} are different models ({some}): plm reads {entries[0].name}, other "
                "libraries may not; delete one",
            )
        else:
            yield "ok", f"{first.name} and {second.name} hold the same weights"


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.is_file())


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


def _stale_shards(folder: Path, stem: str, suffix: str) -> list[str]:
    index = folder / f"{stem}.{suffix}{INDEX_SUFFIX}"
    try:
        weight_map = read_json(index).get("weight_map") if index.is_file() else {}
    except PlmError:
        return []  # the check of the weights says what is wrong with the index
    named = set(weight_map.values()) if isinstance(weight_map, dict) else set()
    return sorted(file.name for file in folder.glob(f"{stem}-?????-of-?????.{suffix}") if file.name not in named)


def _entries(one: Format, folder: Path) -> list[Path]:
    try:
        return one.find(folder)
    except PlmError:
        return []  # several files could be meant; the check of the weights says so
