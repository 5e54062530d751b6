"""Folders that hold a model in the form of one backend, which nothing else can load: what their config.json says.

    "exported": {"backend": "int8", "dtype": "float32", "heads": [{"name": "masked_lm", "kind": "masked_lm"}]}

The rest of config.json is that of the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from plm.checkpoints.head_plans import read_plans
from plm.config import from_dict, read_json
from plm.errors import CheckpointError
from plm.heads.several import HeadPlan

CONFIG_FILE = "config.json"
KEY = "exported"
"""The entry in config.json."""


@dataclass(frozen=True, kw_only=True)
class Exported:
    """The entry.

    backend: the row of BACKENDS that loads the folder. dtype: what the weights are held in.
    heads: in their order, as plm.checkpoints.head_plans writes them; the first one answers when nobody says which.
    """

    backend: str
    dtype: str
    heads: tuple[dict[str, Any], ...] = field(default=())

    @property
    def plans(self) -> dict[str, HeadPlan]:
        """The heads as plans, by name."""
        return read_plans(self.heads, source=f"{CONFIG_FILE}: {KEY}")

    def name_of(self, head: str, *, folder: Path) -> str:
        """The name that a head is stored under. head: its name, or its kind where there is one of it.

        Raises CheckpointError when it is not there, or there are several; folder: for messages.
        """
        plans = self.plans
        names = [head] if head in plans else [name for name, plan in plans.items() if plan.kind == head]
        if len(names) != 1:
            listed = ", ".join(plans) or "none"
            problem = f"several heads of the kind {head!r}: name one" if names else f"no head {head!r}"
            raise CheckpointError(f"{folder}: was exported with {problem} (it has: {listed})")
        return plans[names[0]].shared_with or names[0]

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of the heads."""
        plans = self.plans
        return tuple(str(plans[plan.shared_with or name].kind) for name, plan in plans.items())


def exported_entry(folder: Path) -> Exported | None:
    """The entry of a folder, or None for a checkpoint and for what is no folder.

    Raises ConfigError naming the file and field when the entry is damaged.
    """
    file = folder / CONFIG_FILE
    values = read_json(file).get(KEY) if file.is_file() else None
    return from_dict(Exported, values, source=f"{file}: {KEY}") if isinstance(values, Mapping) else None


def require_backend(folder: Path, backend: str) -> Exported | None:
    """The entry of a folder that was exported for a backend, or None for a checkpoint.

    Raises CheckpointError for a folder that was exported for another one, naming that.
    """
    entry = exported_entry(folder)
    if entry is not None and entry.backend != backend:
        refuse_exported(folder)
    return entry


def refuse_exported(path: Path) -> None:
    """Raise CheckpointError for an exported folder, or a file in one, naming the backend that loads it."""
    folder = path if path.is_dir() else path.parent
    entry = exported_entry(folder)
    if entry is not None:
        raise CheckpointError(
            f"{folder}: was exported for the backend {entry.backend!r} and is no checkpoint: load it with "
            f'backend="{entry.backend}" (--backend {entry.backend}), or name the checkpoint that it was made of'
        )
