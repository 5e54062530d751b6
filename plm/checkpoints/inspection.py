"""What is in a checkpoint: family, layout, sizes, every tensor, and why it cannot be loaded if it cannot."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from plm.checkpoints.config_map import RawConfig, read_config
from plm.checkpoints.formats import find_weights
from plm.checkpoints.hub import resolve
from plm.checkpoints.loading import fill_model
from plm.checkpoints.placing import StoredTensor, missing_names, place_tensors, plain_tensors
from plm.checkpoints.report import LoadReport
from plm.checkpoints.source import Source
from plm.checkpoints.store import Checkpoint, choose_map, find_config, open_checkpoint
from plm.config import to_dict
from plm.errors import PlmError

# What people want to know of a config first, in this order.
HEADLINES = {
    "num_hidden_layers": "layers",
    "hidden_size": "hidden",
    "num_attention_heads": "attention heads",
    "intermediate_size": "feed-forward",
    "vocab_size": "rows of vocabulary",
    "max_position_embeddings": "positions",
}


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """The account of a checkpoint; `lines()` is what people read. What could not be found out is None or empty.

    problem: why it cannot be loaded; None = it can.
    entry: file, index or prefix read. format: its container. layout: the table of names. model_type: the family.
    config: resolved, or as in the file when that cannot be understood. heads: stored ones, by name. kinds: of those
        whose name does not say it.
    tensors: all in the file, in its order.
    missing: of ours, with the heads stored, that loading would initialise; for what cannot be loaded, backbone tensors
        by their own names that other layers have.
    mismatched: head tensors whose stored shape does not fit the config.
    """

    path: str
    problem: str | None = None
    entry: str | None = None
    format: str | None = None
    layout: str | None = None
    model_type: str | None = None
    config: dict[str, Any] = field(default_factory=dict)
    heads: tuple[str, ...] = ()
    kinds: dict[str, str] = field(default_factory=dict)
    tensors: tuple[StoredTensor, ...] = ()
    missing: tuple[str, ...] = ()
    mismatched: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def parameters(self) -> int:
        """Values of all tensors that become parameters; copies and what is ignored left out."""
        return sum(tensor.numel for tensor in self.tensors if tensor.role == "weight")

    @property
    def size(self) -> int:
        """Bytes of all tensors, whatever they are."""
        return sum(tensor.size for tensor in self.tensors)

    @property
    def dtypes(self) -> dict[str, int]:
        """Number of tensors by type, the most frequent first."""
        return dict(Counter(tensor.dtype for tensor in self.tensors).most_common())

    @property
    def extra(self) -> tuple[str, ...]:
        """Tensors that nothing here knows."""
        return tuple(tensor.name for tensor in self.tensors if tensor.role == "unknown")

    @property
    def ignored(self) -> dict[str, str]:
        """Tensors that are no weights, with the reason."""
        return {tensor.name: tensor.reason for tensor in self.tensors if tensor.reason is not None}

    def part(self, name: str) -> tuple[StoredTensor, ...]:
        """The tensors of one part, such as "backbone"."""
        return tuple(tensor for tensor in self.tensors if tensor.part == name)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: the fields, and the sums over them."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        sums = {name: getattr(self, name) for name in ("parameters", "size", "dtypes", "extra", "ignored")}
        return {**values, **sums, "tensors": [dataclasses.asdict(tensor) for tensor in self.tensors]}

    def lines(self, *, every_tensor: bool = False) -> list[str]:
        """The account, one fact a line. every_tensor: True lists all tensors, False counts them by part."""
        about = [f"{self.model_type or 'unknown family'}, {self.path}"]
        if self.entry is not None:
            about.append(f"weights: {self.entry} ({self.format}, names: {self.layout or 'of no known layout'})")
        headlines = [f"{self.config[name]} {word}" for name, word in HEADLINES.items() if self.config.get(name)]
        if headlines:
            about.append(f"config: {', '.join(headlines)}")
        if self.tensors:
            kinds = ", ".join(f"{dtype} ({count})" for dtype, count in self.dtypes.items())
            about.append(f"size: {self.parameters:,} parameters, {readable_size(self.size)}, {kinds}")
        if self.heads or self.problem is None:
            listed = [f"{head} ({self.kinds[head]})" if head in self.kinds else head for head in self.heads]
            about.append(f"heads: {', '.join(listed) or 'none'}")
        about += self._tensor_lines() if every_tensor else self._part_lines()
        about += [f"missing: {name}" for name in self.missing]
        about += [f"other shape than the config says: {name}" for name in self.mismatched]
        if self.extra:
            more = f" and {len(self.extra) - 5} more" if len(self.extra) > 5 else ""
            about.append(f"unknown to every rule: {', '.join(self.extra[:5])}{more}")
        about += [f"ignored {count}: {reason}" for reason, count in Counter(self.ignored.values()).items()]
        about += [f"note: {note}" for note in self.notes]
        return [*about, f"cannot be loaded: {self.problem}" if self.problem else "can be loaded"]

    def _part_lines(self) -> list[str]:
        parts = dict.fromkeys(tensor.part for tensor in self.tensors if tensor.part is not None)
        lines = []
        for part in parts:
            held = self.part(part)
            values = sum(tensor.numel for tensor in held if tensor.role == "weight")
            copies = sum(tensor.role == "copy" for tensor in held)
            tied = f", {copies} tied copy" if copies else ""
            lines.append(f"  {part}: {len(held)} tensors, {values:,} parameters{tied}")
        return lines

    def _tensor_lines(self) -> list[str]:
        return [f"  {tensor.name}  {list(tensor.shape)} {tensor.dtype}  {tensor.place}" for tensor in self.tensors]


def inspect(
    name_or_path: str | Path,
    *,
    heads: Collection[str] | None = None,
    config: Path | Mapping[str, Any] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Inspection:
    """Look into a checkpoint of any known framework, also into one that cannot be loaded.

    name_or_path: as plm.checkpoints.hub.resolve. heads, config, overrides: as plm.checkpoints.loading.load_model.
    Everything is read once, since only loading tells whether it can be loaded.
    Raises CheckpointError or HubError when there is nothing at that place.
    """
    path = resolve(name_or_path)
    try:
        checkpoint = open_checkpoint(path, config=config, overrides=overrides)
    except PlmError as error:
        return _closed(path, config=config, overrides=overrides, problem=str(error))
    wanted = tuple(checkpoint.plans or checkpoint.stored_heads()) if heads is None else tuple(heads)
    try:
        _, report = fill_model(checkpoint, heads=heads, dtype=None, device="cpu")
    except PlmError as error:
        return _opened(checkpoint, wanted, report=None, problem=str(error))
    return _opened(checkpoint, wanted, report=report, problem=None)


def readable_size(count: int) -> str:
    """Bytes as people read them: 512 -> "512 B", 123872 -> "121.0 KiB"."""
    size, unit = float(count), "B"
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            break
        size /= 1024
    return f"{count} B" if unit == "B" else f"{size:,.1f} {unit}"


def _opened(
    checkpoint: Checkpoint, heads: tuple[str, ...], *, report: LoadReport | None, problem: str | None
) -> Inspection:
    lacking = missing_names(checkpoint.source, checkpoint.config.num_hidden_layers)
    return Inspection(
        path=str(checkpoint.path),
        problem=problem,
        entry=checkpoint.entry.name,
        format=checkpoint.format.name,
        layout=checkpoint.name_map.name,
        model_type=checkpoint.config.model_type,
        config=to_dict(checkpoint.config),
        heads=heads,
        kinds={name: plan.kind or f"is {plan.shared_with}" for name, plan in checkpoint.plans.items() if name in heads},
        tensors=tuple(place_tensors(checkpoint.source, checkpoint.stored_heads() or heads, own=checkpoint.plans)),
        missing=tuple(lacking) if report is None else report.missing,
        mismatched=() if report is None else report.mismatched,
        notes=tuple(checkpoint.notes),
    )


def _closed(
    path: Path, *, config: Path | Mapping[str, Any] | None, overrides: Mapping[str, Any] | None, problem: str
) -> Inspection:
    """As much as can be told of a checkpoint that cannot be opened: stage after stage until one fails."""
    known: dict[str, Any] = {"path": str(path), "problem": problem}
    tensors: dict[str, Tensor] = {}
    with suppress(PlmError):
        container, entry = find_weights(path)
        known |= {"entry": entry.name, "format": container.name}
        with suppress(PlmError):
            tensors = container.read(entry)
            known["tensors"] = tuple(plain_tensors(tensors))
        raw, source = find_config(path, entry, config, format_name=container.name)
        known["config"] = dict(raw)
        understood = read_config(raw, source=source, tensor_names=tensors, overrides=overrides)
        known |= {"model_type": understood.model_type, "notes": tuple(understood.notes)}
        known |= _by_table(tensors, understood, format_name=container.name, entry=entry)
    return Inspection(**known)


def _by_table(tensors: Mapping[str, Tensor], config: RawConfig, *, format_name: str, entry: Path) -> dict[str, Any]:
    """Layout, places and gaps, for tensors whose table of names can be told."""
    name_map = choose_map(tensors, format_name=format_name, model_type=config.model_type, path=entry)
    source = Source(tensors, name_map)
    heads = () if config.architecture is None else (config.architecture,)
    layers = config.values.get("num_hidden_layers")
    known_layers = layers if isinstance(layers, int) and layers > 0 else None
    return {
        "layout": name_map.name,
        "tensors": tuple(place_tensors(source, heads)),
        "missing": tuple(missing_names(source, known_layers)),
    }
