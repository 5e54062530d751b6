"""A checkpoint of any known framework, written anew in a layout that plm writes, and proved to be the same model."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from plm.checkpoints.companions import carry_learned, carry_tokenizer
from plm.checkpoints.destination import filling
from plm.checkpoints.dtypes import as_dtype
from plm.checkpoints.head_plans import are_plain
from plm.checkpoints.hub import resolve
from plm.checkpoints.loading import load_model
from plm.checkpoints.report import LoadReport
from plm.checkpoints.saving import DEFAULT_SHARD_SIZE, save_model
from plm.checkpoints.store import open_checkpoint
from plm.checkpoints.verification import Comparison, compare
from plm.errors import CheckpointError
from plm.heads.model import Model
from plm.models.config import ModelConfig


@dataclass(frozen=True, kw_only=True)
class ConversionReport:
    """The account of one conversion; `lines()` is what people read.

    files: names written into `destination`. loaded: what happened to every tensor of the source.
    notes: what the new layout cannot say, and what became of the tokenizer.
    comparison: of the model read back with the one read first; None = not asked for.
    """

    source: Path
    destination: Path
    layout: str
    model_type: str
    heads: tuple[str, ...]
    files: tuple[str, ...]
    loaded: LoadReport
    notes: tuple[str, ...]
    comparison: Comparison | None = None

    def lines(self) -> list[str]:
        """The account, one fact a line."""
        lines = [*self.loaded.lines(), f"heads: {', '.join(self.heads) or 'none'}"]
        lines.append(f"written to {self.destination} ({self.layout}): {', '.join(self.files)}")
        lines += [f"note: {note}" for note in self.notes]
        return [*lines, *([] if self.comparison is None else self.comparison.lines())]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        values = dataclasses.asdict(self)
        paths = {"source": str(self.source), "destination": str(self.destination)}
        return values | paths | {"loaded": values["loaded"] | {"source": str(self.loaded.source)}}


def convert(
    name_or_path: str | Path,
    destination: str | Path,
    *,
    layout: str = "huggingface",
    heads: Collection[str] | None = None,
    config: Path | Mapping[str, Any] | None = None,
    overrides: Mapping[str, Any] | None = None,
    dtype: str | torch.dtype = "auto",
    max_shard_size: int = DEFAULT_SHARD_SIZE,
    verify: bool = False,
    overwrite: bool = False,
) -> ConversionReport:
    """Write a checkpoint into the folder `destination` under the names, format and config of another layout.

    name_or_path: as plm.checkpoints.hub.resolve. layout: a name in TARGETS.
    heads, config, overrides: as load_model; by default every head that is stored.
    dtype: "float32", "bfloat16", "float16", or "auto" for the type stored.
    verify: True reads the new files back and compares tensors bit by bit and outputs on random texts.
    overwrite: True = `destination` may hold other files.
    The tokenizer goes along. Everything appears in `destination` together, after the verification, or nothing does.
    Raises CheckpointError when the source cannot be loaded whole, the layout cannot hold it, the destination cannot
    be written without damage, or the verification finds a difference.
    """
    source, destination = resolve(name_or_path), Path(destination)
    steps = tqdm(total=4 if verify else 3, desc="reading", unit="step", disable=None, delay=2, leave=False)
    with steps as bar, filling(destination, source=source, layout=layout, overwrite=overwrite) as folder:
        model, loaded = load_model(source, heads=heads, config=config, overrides=overrides, dtype=as_dtype(dtype))
        require_whole(loaded)
        _advance(bar, "writing weights")
        save_model(model, folder, layout=layout, max_shard_size=max_shard_size)
        _advance(bar, "writing the tokenizer")
        _, remark = carry_tokenizer(source, folder, layout=layout)
        carry_learned(source, folder)
        lost = _lost_fields(model.config, open_checkpoint(folder).config)
        _advance(bar, "verifying")
        comparison = _verified(model, folder, layout) if verify else None
        files = tuple(sorted(file.name for file in folder.iterdir()))
    notes = [*([remark] if remark else []), *lost]
    return ConversionReport(
        source=source,
        destination=destination,
        layout=layout,
        model_type=model.config.model_type,
        heads=tuple(model.heads),
        files=files,
        loaded=loaded,
        notes=tuple(notes),
        comparison=comparison,
    )


def require_whole(loaded: LoadReport) -> None:
    """Raise CheckpointError for a load that initialised anything: what is written must not be made up."""
    invented = [*loaded.missing, *loaded.mismatched]
    if invented:
        raise CheckpointError(
            f"{loaded.source}: {', '.join(invented)} would have to be made up. Name the heads that are stored "
            "(heads=), or correct the config (overrides=)"
        )


def _verified(model: Model, folder: Path, layout: str) -> Comparison:
    heads = tuple(model.heads) if are_plain(model.plans) else model.plans
    again, _ = load_model(folder, heads=heads, dtype=None)
    comparison = compare(model, again)
    if not comparison.is_equal:
        raise CheckpointError(
            f"the model written as {layout!r} is not the one that was read, nothing was kept: "
            + "; ".join(comparison.lines())
        )
    return comparison


def _lost_fields(before: ModelConfig, after: ModelConfig) -> list[str]:
    """Config fields that the layout's config file does not bring back."""
    return [
        f"config field {field.name}: {getattr(before, field.name)!r} reads back as {getattr(after, field.name)!r}"
        for field in dataclasses.fields(before)
        if getattr(before, field.name) != getattr(after, field.name)
    ]


def _advance(bar: tqdm[None], doing: str) -> None:
    bar.update()
    bar.set_description(doing)
