"""Checkpoints in several files: the index of Hugging Face, `{"metadata": ..., "weight_map": {tensor: file}}`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor

from plm.config import read_json
from plm.errors import CheckpointError, ConfigError

INDEX_SUFFIX = ".index.json"


def read_shards(index: Path, read: Callable[[Path], dict[str, Tensor]]) -> dict[str, Tensor]:
    """The tensors of all files of an index, in the order of the files.

    read: reads one file.
    A shard is a plain file name in the folder where the index is listed; it may be a link (as in hub caches), but no
    path can be written into the index. Raises CheckpointError when it is one, and when an index and its files
    disagree about which tensors there are.
    """
    promised = _weight_map(index)
    tensors: dict[str, Tensor] = {}
    for shard in shard_files(index):
        for name, tensor in read(shard).items():
            if promised.get(name) != shard.name:
                told = f"lists it in {promised[name]}" if name in promised else "does not list it"
                raise CheckpointError(f"{shard}: holds the tensor {name!r}, but {index.name} {told}")
            tensors[name] = tensor
    missing = [name for name in promised if name not in tensors]
    if missing:
        raise CheckpointError(
            f"{index.parent / promised[missing[0]]}: the tensor {missing[0]!r} that {index.name} promises is not there"
            f"{f' ({len(missing)} tensors in all)' if len(missing) > 1 else ''}; fetch index and shards again"
        )
    return tensors


def shard_files(index: Path) -> list[Path]:
    """The files that an index names, in the order of their names."""
    return [index.parent / shard for shard in sorted(set(_weight_map(index).values()))]


def index_text(shards: Mapping[str, Mapping[str, Tensor]]) -> str:
    """The index of some shards (file name to tensors), as transformers 5 writes it."""
    every = [tensor for shard in shards.values() for tensor in shard.values()]
    metadata = {
        "total_parameters": sum(tensor.numel() for tensor in every),
        "total_size": sum(_size(tensor) for tensor in every),
    }
    weight_map = {name: file for file, shard in shards.items() for name in shard}
    return json.dumps({"metadata": metadata, "weight_map": weight_map}, indent=2, sort_keys=True) + "\n"


def split(tensors: Mapping[str, Tensor], *, name: str, max_size: int) -> dict[str, dict[str, Tensor]]:
    """Distribute tensors in their order over files of at most `max_size` bytes of weights each.

    name: "model.safetensors" becomes "model-00001-of-00002.safetensors" when there are several.
    A tensor larger than `max_size` gets a file of its own.
    """
    groups: list[dict[str, Tensor]] = [{}]
    room = max_size
    for key, tensor in tensors.items():
        if groups[-1] and _size(tensor) > room:
            groups.append({})
            room = max_size
        groups[-1][key] = tensor
        room -= _size(tensor)
    if len(groups) == 1:
        return {name: groups[0]}
    stem, dot, suffix = name.rpartition(".")
    return {f"{stem}-{i:05}-of-{len(groups):05}{dot}{suffix}": group for i, group in enumerate(groups, start=1)}


def _weight_map(index: Path) -> dict[str, str]:
    try:
        weight_map = read_json(index).get("weight_map")
    except ConfigError as error:
        raise CheckpointError(str(error)) from error
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{index}: expected an object 'weight_map' from tensor names to file names")
    for name, shard in weight_map.items():
        if not isinstance(shard, str) or not _is_plain(shard):
            raise CheckpointError(
                f"{index}: the tensor {name!r} is said to be in {shard!r:.200}; only plain names of files beside the "
                "index are allowed. Do not use this checkpoint unless you know who wrote the index"
            )
    return weight_map


def _is_plain(name: str) -> bool:
    """Whether a name is one file name on every system, without folder, drive or control character."""
    return name not in ("", ".", "..") and name.isprintable() and not set(name) & set('/\\:*?"<>|')


def _size(tensor: Tensor) -> int:
    return tensor.numel() * tensor.dtype.itemsize
