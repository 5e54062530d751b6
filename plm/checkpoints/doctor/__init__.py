"""Is a folder healthy? Checks of what goes wrong with checkpoints, each with a finding that says what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from plm.checkpoints.doctor.files import copies, leftovers, permissions
from plm.checkpoints.doctor.patient import Patient, Remark, Severity
from plm.checkpoints.doctor.text import special_tokens, tokenizer, vocabulary
from plm.checkpoints.doctor.weights import config, labels, numbers, tied_weights, weights
from plm.checkpoints.hub import resolve
from plm.errors import CheckpointError

__all__ = ["CHECKS", "Finding", "examine"]


@dataclass(frozen=True)
class Finding:
    """What one check found.

    severity: "error" = the folder cannot be used, or gives wrong results; "warning" = look at it; "ok".
    check: a name in CHECKS.
    """

    severity: Severity
    check: str
    message: str


CHECKS: Mapping[str, Callable[[Patient], Iterator[Remark]]] = {
    "config": config,
    "weights": weights,
    "numbers": numbers,
    "tied weights": tied_weights,
    "labels": labels,
    "tokenizer": tokenizer,
    "vocabulary": vocabulary,
    "special tokens": special_tokens,
    "permissions": permissions,
    "leftovers": leftovers,
    "copies": copies,
}

# What an exported folder is not asked, as its weights are no checkpoint.
_OF_CHECKPOINTS = ("numbers", "tied weights", "labels", "vocabulary")


def examine(name_or_path: str | Path) -> list[Finding]:
    """All findings on a folder, in the order of CHECKS; nothing is changed.

    name_or_path: as plm.checkpoints.hub.resolve, for a folder. The weights are read, a progress bar shows on a
    terminal. Raises CheckpointError or HubError when there is no such folder.
    """
    folder = resolve(name_or_path)
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: the doctor examines folders; give the one that holds the checkpoint")
    patient = Patient(folder)
    findings: list[Finding] = []
    skipped = () if patient.exported is None else _OF_CHECKPOINTS
    checks = {name: check for name, check in CHECKS.items() if name not in skipped}
    for name, check in tqdm(checks.items(), desc="examining", unit="check", disable=None, delay=2, leave=False):
        findings += [Finding(severity, name, message) for severity, message in check(patient)]
    return findings
