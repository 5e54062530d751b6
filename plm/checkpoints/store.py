"""A checkpoint on disk, opened: its weights, its config, and the layout its names are in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from torch import Tensor

from plm.checkpoints.config_map import finish_config, read_config
from plm.checkpoints.exported import refuse_exported
from plm.checkpoints.formats import Format, find_weights
from plm.checkpoints.hub import CONFIG_FILES
from plm.checkpoints.maps import MAPS
from plm.checkpoints.name_map import NameMap, score, table_for
from plm.checkpoints.sizes import check_sizes, infer_sizes
from plm.checkpoints.source import Source
from plm.checkpoints.stored_heads import stored_heads
from plm.config import read_json
from plm.errors import CheckpointError, ConfigError
from plm.heads.several import HeadPlan
from plm.models.config import ModelConfig

# A table that explains less than this share of a checkpoint's names does not describe it.
LEAST_SCORE = 0.3

# Heads of ours that are in no table are stored under names that begin so.
OWN = "heads."


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What `open_checkpoint` found.

    path: as asked for. entry: the weight file, shard index or prefix chosen. tensors: by the source's names.
    source: the same through `name_map`. config: resolved, with this source's meaning of every field.
    architecture: the head that the config file names, or None. plans: of several heads, if the config file lists them.
    """

    path: Path
    entry: Path
    format: Format
    tensors: Mapping[str, Tensor]
    name_map: NameMap
    source: Source
    config: ModelConfig
    architecture: str | None
    plans: Mapping[str, HeadPlan]
    notes: tuple[str, ...]

    def stored_heads(self) -> tuple[str, ...]:
        """Heads stored under the names of the table, the one that the config names first; `plans` has all."""
        return stored_heads(self.source, self.config, named=self.architecture)


def open_checkpoint(
    path: Path, *, config: Path | Mapping[str, Any] | None = None, overrides: Mapping[str, Any] | None = None
) -> Checkpoint:
    """Open a folder, a weight file or a TensorFlow prefix; nothing is executed and no model is built.

    config: a config file or its content, in place of the one beside the weights.
    overrides: config fields that win over the file.
    Raises CheckpointError or ConfigError saying what was found and what to do.
    """
    refuse_exported(path)
    container, entry = find_weights(path)
    raw, config_source = find_config(path, entry, config, format_name=container.name)
    tensors = container.read(entry)
    if not tensors:
        raise CheckpointError(f"{entry}: holds no tensors")
    raw_config = read_config(raw, source=config_source, tensor_names=tensors.keys(), overrides=overrides)
    name_map = choose_map(tensors, format_name=container.name, model_type=raw_config.model_type, path=entry)
    source = Source(tensors, name_map)
    _refuse_other_models(source, entry)
    inferred = {**name_map.defaults, **infer_sizes(source, raw_config)}
    finished = finish_config(raw_config, inferred=inferred, activations=name_map.activations)
    finished, notes = check_sizes(finished, source, entry)
    return Checkpoint(
        path=path,
        entry=entry,
        format=container,
        tensors=tensors,
        name_map=name_map,
        source=source,
        config=finished,
        architecture=raw_config.architecture,
        plans=raw_config.plans,
        notes=(*raw_config.notes, *notes),
    )


def read_config_file(path: Path, overrides: Mapping[str, Any] | None = None) -> ModelConfig:
    """The config of a folder or file alone, without its weights: values mean what they mean in transformers."""
    file = path if path.is_file() else _config_in(path)
    if file is None:
        raise ConfigError(f"{path}: holds no config (looked for {', '.join(CONFIG_FILES)})")
    raw = read_config(read_json(file), source=str(file), overrides=overrides)
    table = table_for("huggingface", raw.model_type)
    return finish_config(raw, inferred={}, activations={} if table is None else table.activations)


def find_config(
    path: Path, entry: Path, config: Path | Mapping[str, Any] | None = None, *, format_name: str = ""
) -> tuple[Mapping[str, Any], str]:
    """The config that belongs to an entry of weights, unread, and where it was found.

    path: as asked for. config: as open_checkpoint. format_name: of the weights; some come without a config.
    Raises ConfigError when there is none.
    """
    if config is not None and not isinstance(config, Path):
        return config, "config"
    file = config or _config_in(path if path.is_dir() else path.parent)
    bare = next((table for _, table in MAPS.items() if not table.has_config and format_name in table.formats), None)
    if file is None and bare is not None:
        return {"model_type": bare.families[0]}, str(entry)
    file = file or _config_in(entry.parent)  # the entry may be a folder itself, inside that of the config
    if file is None:
        raise ConfigError(
            f"{path}: holds no config (looked for {', '.join(CONFIG_FILES)}); weights alone do not say how many "
            "attention heads a model has: pass config=, a file or a dictionary"
        )
    return read_json(file), str(file)


def choose_map(tensors: Mapping[str, Tensor], *, format_name: str, model_type: str, path: Path) -> NameMap:
    """The table that explains most of a checkpoint's names.

    Raises CheckpointError when none explains it, with some of the names: such a file would give a random model.
    """
    candidates = [
        table
        for _, table in MAPS.items()
        if model_type in table.families and (not table.formats or format_name in table.formats)
    ]
    common = [name for name in tensors if not name.startswith(OWN)]
    scores = {table.name: score(common, table) for table in candidates}
    best = max(candidates, key=lambda table: scores[table.name], default=None)
    if best is None or scores[best.name] < LEAST_SCORE:
        some = ", ".join(list(tensors)[:4])
        raise CheckpointError(
            f"{path}: no table of names fits this {model_type} checkpoint; its tensors are called {some}, ... "
            f"{_advice(tensors, candidates)} (known layouts: {', '.join(MAPS.names())})"
        )
    return best


def _advice(tensors: Mapping[str, Tensor], candidates: list[NameMap]) -> str:
    """What could be done about names that no table knows: often only something stands in front of them."""
    fronts: Counter[str] = Counter()
    for name in tensors:
        cuts = (place + 1 for place, letter in enumerate(name) if letter in "./")
        fronts.update(name[:cut] for cut in cuts if any(table.knows(name[cut:]) for table in candidates))
    if fronts:
        front, count = fronts.most_common(1)[0]
        return f"{count} of {len(tensors)} would fit without {front!r} in front: take it off and save the file again"
    return "Is the model_type right? Another layout can be added to plm.checkpoints.name_map.MAPS"


def _refuse_other_models(source: Source, entry: Path) -> None:
    for pattern, reason in source.name_map.refused:
        hit = next((name for name in source if fnmatchcase(name, pattern)), None)
        if hit is not None:
            raise CheckpointError(f"{entry}: cannot be loaded because of {source.original[hit]!r}: {reason}")


def _config_in(folder: Path) -> Path | None:
    return next((folder / name for name in CONFIG_FILES if (folder / name).is_file()), None)
