"""Checkpoints of a run: whole or not there, verified when they are read, the newest few kept.

    checkpoints/update-00000120/tensors.safetensors    weights, moments of the optimizer, averages, random states
    checkpoints/update-00000120/state.json             everything else, with references to the tensors
    checkpoints/update-00000120/shards/*.safetensors   tensors of which each process holds a part
    checkpoints/update-00000120/manifest.json          size and SHA-256 of all of them

No file holds anything that could be run, so a checkpoint of strangers can be looked at.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from plm.config import read_json, write_json
from plm.errors import CheckpointError, ConfigError, TrainingError
from plm.folders import clear_leftovers, save_folder
from plm.training.distributed import ALONE, Processes, is_spread
from plm.training.tree import Tree, pack, unpack

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh

FORMAT = 1
TENSORS, VALUES, MANIFEST, SHARDS = "tensors.safetensors", "state.json", "manifest.json", "shards"

logger = logging.getLogger(__name__)


class Stateful(Protocol):
    """What a checkpoint can hold: a part of a run that says all it knows, and can go on from that."""

    def state_dict(self) -> Tree:
        """Nested dicts, lists and tuples of numbers, strings and tensors; see plm.training.tree."""
        ...

    def load_state_dict(self, state_dict: Any, /) -> object:
        """Go on from what state_dict returned."""
        ...


def is_stateful(part: object) -> TypeGuard[Stateful]:
    """True = it has both methods."""
    return hasattr(part, "state_dict") and hasattr(part, "load_state_dict")


class Checkpoints:
    """The checkpoints in a folder. keep: how many of them, at least 1. processes: that share them, and the folder."""

    def __init__(self, folder: Path, *, keep: int, processes: Processes = ALONE) -> None:
        self.folder, self.keep, self.processes = folder, keep, processes

    def save(self, update: int, state: Tree) -> Path:
        """Write a checkpoint, then delete what is too old. update: updates done. Returns its folder.

        All processes call this together; the main one writes what all have alike. Checkpoints of later updates are
        deleted as well: the run went back behind them. Raises TrainingError when it cannot be written; then all others
        are as they were.
        """
        folder = self.folder / f"update-{update:08d}"
        write = partial(write_state, state=state, processes=self.processes)
        if self.processes.is_main:
            self._save(folder, write)
        else:
            write(folder)
        self.processes.barrier()
        return folder

    def _save(self, folder: Path, write: Callable[[Path], None]) -> None:
        try:
            save_folder(folder, write)
        except (OSError, SafetensorError) as error:
            older = next((path for path in self.paths() if path != folder), None)
            kept = f"{older} is whole" if older is not None else "there is no older one"
            raise TrainingError(
                f'{folder}: cannot be written: {error}. {kept}. Make room, then go on with resume="auto".'
            ) from error
        older_ones = [path for path in self.paths() if path.name < folder.name]
        newer_ones = [path for path in self.paths() if path.name > folder.name]
        for path in newer_ones + older_ones[self.keep - 1 :]:
            # Under another name first: half of a folder must not look like a checkpoint.
            path.rename(path.with_name(f".{path.name}"))
        for leftover in self.folder.glob(".update-*"):
            shutil.rmtree(leftover)

    def newest(self, *, mesh: DeviceMesh | None = None) -> tuple[Path, Tree] | None:
        """The newest whole checkpoint: its folder and state; None = there are none. mesh: as for read_state.

        All processes call this together. Logs a line for every damaged one that is passed over. Raises CheckpointError
        when all are damaged.
        """
        path = self.processes.by_main(self._newest_whole)
        return None if path is None else (path, _read(path, mesh))

    def _newest_whole(self) -> Path | None:
        for leftover in self.folder.glob(".update-*.old-*"):
            clear_leftovers(self.folder / leftover.name[1:].partition(".")[0])
        paths = self.paths()
        for path in paths:
            try:
                verify(path)
            except CheckpointError as error:
                logger.warning("%s; looking for an older checkpoint", error)
            else:
                return path
        if paths:
            raise CheckpointError(
                f"{self.folder}: none of {len(paths)} checkpoints is whole; delete the folder to start anew"
            )
        return None

    def paths(self) -> list[Path]:
        """All checkpoints, whole or not, the newest first."""
        return sorted(self.folder.glob("update-*"), key=lambda path: path.name, reverse=True)


def write_state(folder: Path, state: Tree, processes: Processes = ALONE) -> None:
    """Write a state into an empty folder. Of several processes all call this; the folder of the main one counts."""
    folder = processes.from_main(folder)
    values, tensors = pack(state)
    parts = {name: tensor for name, tensor in tensors.items() if is_spread(tensor)}
    if parts:
        from plm.training.shards import write_shards  # takes half a second, which others need not pay

        write_shards(folder / SHARDS, parts, is_main=processes.is_main)
    if processes.is_main:
        save_file(_separate({name: tensors[name] for name in tensors.keys() - parts}), folder / TENSORS)
        (folder / VALUES).write_text(json.dumps(values, ensure_ascii=False, allow_nan=False), encoding="utf-8")
        files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        listed = {name: _facts(folder / name) for name in files}
        write_json(folder / MANIFEST, {"format": FORMAT, "files": listed})


def verify(folder: Path) -> None:
    """Raise CheckpointError when a checkpoint is torn or altered."""
    with _trouble_named(folder):
        manifest = read_json(folder / MANIFEST)
        if manifest.get("format") != FORMAT:
            raise CheckpointError(f"{folder}: expected a checkpoint of format {FORMAT}, got {manifest.get('format')!r}")
        for name, facts in manifest["files"].items():
            if _facts(folder / name) != facts:
                raise CheckpointError(f"{folder / name}: damaged: not what {MANIFEST} says was written")
        json.loads((folder / VALUES).read_text(encoding="utf-8"))


def read_state(folder: Path, *, mesh: DeviceMesh | None = None) -> Tree:
    """What write_state was given; tensors on the CPU. Raises CheckpointError when it is torn or altered.

    mesh: processes that call this together, over which the tensors are spread that were spread before, whatever the
        number of processes was then; None = those are read whole.
    """
    verify(folder)
    return _read(folder, mesh)


def _read(folder: Path, mesh: DeviceMesh | None) -> Tree:
    """The state in a checkpoint that is whole."""
    with _trouble_named(folder):
        with safe_open(folder / TENSORS, framework="pt") as file:
            # A copy: what the library returns is mapped from a file that may be deleted.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118, not a dict
        if (folder / SHARDS).exists():
            from plm.training.shards import read_shards  # takes half a second, which others need not pay

            tensors |= read_shards(folder / SHARDS, mesh)
        return unpack(json.loads((folder / VALUES).read_text(encoding="utf-8")), tensors)


@contextmanager
def _trouble_named(folder: Path) -> Iterator[None]:
    try:
        yield
    except (
        OSError,
        ConfigError,
        SafetensorError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
    ) as error:
        raise CheckpointError(f"{folder}: not a whole checkpoint: {error}") from error


def _facts(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"size": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _separate(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors on the CPU, contiguous, none sharing memory with another, as the file format wants them."""
    separate: dict[str, Tensor] = {}
    taken: set[int] = set()
    for name, tensor in tensors.items():
        own = tensor.to("cpu").contiguous()
        storage = own.untyped_storage()
        if storage.nbytes() != own.nbytes or storage.data_ptr() in taken:
            own = own.clone()
        taken.add(own.untyped_storage().data_ptr())
        separate[name] = own
    return separate
