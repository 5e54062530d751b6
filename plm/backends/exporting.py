"""A checkpoint written anew in the form of one backend, and proved to give the same answers.

An exported folder holds config.json (with an entry that names its backend, see plm.checkpoints.exported), the weights
or the program in that backend's form, the tokenizer, and what the heads learned.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from plm.backends import BACKENDS
from plm.backends.deferred import Deferred
from plm.backends.eager import TorchRunner
from plm.backends.proof import Proof, prove
from plm.checkpoints.companions import carry_learned, carry_tokenizer
from plm.checkpoints.conversion import require_whole
from plm.checkpoints.destination import filling
from plm.checkpoints.exported import CONFIG_FILE, KEY, Exported, exported_entry
from plm.checkpoints.formats.safetensors import STALE
from plm.checkpoints.formats.safetensors import find as find_safetensors
from plm.checkpoints.head_plans import one_head, write_plans
from plm.checkpoints.hub import resolve
from plm.checkpoints.inspection import readable_size
from plm.checkpoints.loading import fill_model
from plm.checkpoints.saving import TARGETS, config_content
from plm.checkpoints.store import open_checkpoint
from plm.checkpoints.verification import CHOICE_HEADS
from plm.config import write_json
from plm.errors import CheckpointError, ConfigError
from plm.heads.model import Model
from plm.heads.several import Plans
from plm.registry import Registry
from plm.tasks.saving import load_tasks, save_tasks

BACKBONE = "none"
"""The head by which callers ask for the backbone alone."""

# The layout whose names the config file and the tokenizer have.
LAYOUT = "huggingface"


@dataclass(frozen=True, kw_only=True)
class Export:
    """One row of EXPORTS: a form that models are exported to.

    write: (float32 model in evaluation mode, an empty folder, dtype) -> remarks for people, none if all is as usual. It
        writes weights or program into the folder, and raises BackendUnavailable for what this machine lacks. The model
        stays as it is; it has one head or none unless `takes_heads`.
    backend: the row of BACKENDS that loads the folder.
    limits: by name of what weights may be held in, the usual one first: how far answers may lie from the model's own,
        see Proof; a program that computes something else is off by about 1.
    takes_heads: True = one folder holds all heads of a model; False = one.
    files: patterns of the files that `write` may write, which go when the folder is exported to in another form.
    """

    write: Callable[[Model, Path, str], Sequence[str]]
    backend: str
    limits: Mapping[str, float]
    takes_heads: bool = False
    files: tuple[str, ...] = ()


EXPORTS: Registry[Export] = Registry("form of export")

EXPORTS.add(
    "int8",
    Export(
        write=Deferred("plm.backends.int8:write_int8"),
        backend="int8",
        limits={"float32": 0.5, "bfloat16": 0.5},
        takes_heads=True,
        files=STALE,
    ),
)
EXPORTS.add(
    "onnx",
    Export(
        write=Deferred("plm.backends.onnx.exporting:write_onnx"),
        backend="onnx",
        limits={"float32": 1e-4, "int8": 0.3},
        files=("model.onnx", "model_*.onnx", "decoder.onnx", "decoder_*.onnx", "model.onnx.data"),
    ),
)
EXPORTS.add(
    "pt2",
    Export(
        write=Deferred("plm.backends.pt2:write_pt2"),
        backend="pt2",
        limits={"float32": 1e-4, "bfloat16": 0.1},
        files=("model.pt2",),
    ),
)


@dataclass(frozen=True, kw_only=True)
class ExportReport:
    """The account of one export; `lines()` is what people read.

    files: bytes of every file in `destination`, by name. proofs: by head; empty = not asked for.
    """

    source: Path
    destination: Path
    form: str
    dtype: str
    heads: tuple[str, ...]
    files: dict[str, int]
    notes: tuple[str, ...]
    proofs: dict[str, Proof]

    def lines(self) -> list[str]:
        """The account, one fact a line."""
        about = [f"{self.source} as {self.form}, {self.dtype}, heads: {', '.join(self.heads) or 'none'}"]
        about.append(f"written to {self.destination}, {readable_size(sum(self.files.values()))} together:")
        about += [f"  {name}  {readable_size(size)}" for name, size in self.files.items()]
        about += [f"note: {note}" for note in self.notes]
        return about + [line for proof in self.proofs.values() for line in proof.lines()]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return dataclasses.asdict(self) | {"source": str(self.source), "destination": str(self.destination)}


def export(
    name_or_path: str | Path,
    destination: str | Path,
    *,
    to: str,
    head: str | None = None,
    dtype: str | None = None,
    verify: bool = True,
    overwrite: bool = False,
) -> ExportReport:
    """Write a checkpoint of any known layout into the folder `destination` in the form of a backend.

    name_or_path: as plm.checkpoints.hub.resolve. to: a name in EXPORTS.
    head: kind of the head to export, or its name where there are several; "none" = the backbone alone; None = all that
        are stored, or the first where the form holds one.
    dtype: what weights are held in; None = what is usual for this form.
    verify: True loads the new folder and compares its answers with the model's own.
    overwrite: True = `destination` may hold other files; those of an earlier export go.
    Everything appears in `destination` together, after the comparison, or nothing does.
    Raises CheckpointError when the source cannot be loaded whole, the destination cannot be written without damage, or
    the answers differ by more than the dtype explains; ConfigError for a dtype that the form has not.
    """
    row = EXPORTS.get(to)
    dtype = next(iter(row.limits)) if dtype is None else dtype
    if dtype not in row.limits:
        raise ConfigError(f"dtype: {to} holds weights in one of {', '.join(row.limits)}, got {dtype!r}")
    source, destination = resolve(name_or_path), Path(destination)
    _refuse_checkpoint(destination)
    stale = [pattern for _, form in EXPORTS.items() for pattern in form.files]
    steps = tqdm(total=4 if verify else 3, desc="reading", unit="step", disable=None, delay=2, leave=False)
    with steps as bar, filling(destination, source=source, layout=LAYOUT, overwrite=overwrite, stale=stale) as folder:
        model, notes = _read(source, head, takes_heads=row.takes_heads)
        _write_config(model, folder, Exported(backend=row.backend, dtype=dtype, heads=tuple(write_plans(model.plans))))
        _advance(bar, f"writing {to}")
        notes += row.write(model if row.takes_heads else _alone(model), folder, dtype)
        _advance(bar, "writing the tokenizer")
        _, remark = carry_tokenizer(source, folder, layout=LAYOUT)
        notes += [remark] if remark else []
        carry_learned(source, folder)
        _leave_tasks(folder, model.plans)
        _advance(bar, "comparing")
        proofs = _proved(model, folder, row, dtype) if verify else {}
        files = {file.name: file.stat().st_size for file in sorted(folder.iterdir())}
    return ExportReport(
        source=source,
        destination=destination,
        form=to,
        dtype=dtype,
        heads=tuple(model.heads),
        files=files,
        notes=tuple(notes),
        proofs=proofs,
    )


def _refuse_checkpoint(destination: Path) -> None:
    """Raise CheckpointError for a folder whose weights are no export: they would be deleted, not written anew."""
    held = find_safetensors(destination) if destination.is_dir() and exported_entry(destination) is None else []
    if held:
        raise CheckpointError(
            f"{destination}: holds a checkpoint ({held[0].name}), which an export must not replace: name another folder"
        )


def _read(source: Path, head: str | None, *, takes_heads: bool) -> tuple[Model, list[str]]:
    """The model in float32 with the heads to export, by their stored names, and a remark when some are left out."""
    checkpoint = open_checkpoint(source)
    heads = None if head is None else one_head(None if head == BACKBONE else head, checkpoint.plans)
    model, report = fill_model(checkpoint, heads=heads, dtype=torch.float32, device="cpu")
    require_whole(report)
    names = list(model.heads)
    if takes_heads or len(names) < 2:
        return model, []
    first = names[0]
    remark = f"of the heads {', '.join(names)}, this is {first}; --head names another"
    only = Model(model.config, model.backbone, {first: model.heads[first]}, plans={first: model.plans[first]})
    return only.eval(), [remark]


def _alone(model: Model) -> Model:
    """With its head under the name of the kind, as forms of one head know it."""
    return model.with_head(next(iter(model.heads))) if model.heads else model


def _leave_tasks(folder: Path, plans: Plans) -> None:
    """Of several tasks, each with a head of its own, those whose head is there."""
    tasks = load_tasks(folder)
    kept = {name: saved for name, saved in tasks.items() if name in plans}
    if kept and len(kept) < len(tasks):
        save_tasks(folder, kept)


def _write_config(model: Model, folder: Path, entry: Exported) -> None:
    content = config_content(model, TARGETS.get(LAYOUT), LAYOUT)
    write_json(folder / CONFIG_FILE, content | {KEY: dataclasses.asdict(entry)})


def _proved(model: Model, folder: Path, row: Export, dtype: str) -> dict[str, Proof]:
    """A comparison for each head, or one under "" for a model without."""
    proofs = {}
    for head in tuple(model.heads) or (None,):
        alone = model if head is None else model.with_head(head)
        runner = BACKENDS.get(row.backend).load(folder, head, dtype)
        choices = next(iter(alone.heads), None) in CHOICE_HEADS
        proof = prove(TorchRunner(alone), runner, limit=row.limits[dtype], choices=choices)
        if not proof.holds:
            raise CheckpointError(
                f"what was exported gives other answers, nothing was kept: {'; '.join(proof.lines())}"
            )
        proofs[head or ""] = proof
    return proofs


def _advance(bar: tqdm[None], doing: str) -> None:
    bar.update()
    bar.set_description(doing)
