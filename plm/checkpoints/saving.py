"""From a model to files that it, and other libraries, can be loaded from."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from plm.checkpoints.config_map import write_config
from plm.checkpoints.formats import FORMATS
from plm.checkpoints.formats.replacing import replacing
from plm.checkpoints.formats.safetensors import write as write_safetensors
from plm.checkpoints.maps import MAPS
from plm.checkpoints.name_map import write_part
from plm.config import write_json
from plm.errors import CheckpointError
from plm.heads.head import HEADS
from plm.heads.model import Model
from plm.models.config import ModelConfig
from plm.registry import Registry

DEFAULT_SHARD_SIZE = 5 * 2**30

PREFIXES = {"bert": "bert.", "nezha": "nezha.", "tinybert": "bert.", "openai-gpt": "transformer."}


@dataclass(frozen=True, kw_only=True)
class Target:
    """One row of TARGETS: a layout that plm writes.

    maps: table of names by model type. format: container in FORMATS. config_file: its name.
    prefix: model type and whether there is a head -> what stands before backbone names.
    write_config: (our config, heads, dtype) -> content of the config file.
    """

    maps: Mapping[str, str]
    format: str
    config_file: str
    prefix: Callable[[str, bool], str]
    write_config: Callable[..., dict[str, Any]]


TARGETS: Registry[Target] = Registry("layout to write")


def save_model(
    model: Model, folder: Path, *, layout: str = "huggingface", max_shard_size: int = DEFAULT_SHARD_SIZE
) -> list[Path]:
    """Write config and weights of a model into a folder, all or nothing.

    Everything is written aside first and put in place at the end, so a full disk or Ctrl-C leaves the old files.
    Raises UnknownNameError for an unknown layout, CheckpointError when it cannot hold this model.
    """
    target = TARGETS.get(layout)
    tensors = model_tensors(model, target, layout)
    content = target.write_config(model.config, tuple(model.heads), dtype=str(model.dtype).removeprefix("torch."))
    write = FORMATS.get(target.format).write
    assert write is not None
    if target.format == "safetensors":
        write = partial(write_safetensors, max_shard_size=max_shard_size)
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder) as new, tempfile.TemporaryDirectory(dir=folder, prefix=".saving-") as aside:
        config_file = Path(aside) / target.config_file
        write_json(config_file, content)
        for file in (config_file, *write(Path(aside), tensors)):  # an index of shards comes last, and stays last
            new.adopt(file)
        return new.commit(stale=STALE.get(target.format, ()))


# What an earlier save of the same format may have left beside the new files.
STALE = {"safetensors": ("model-?????-of-?????.safetensors", "model.safetensors", "model.safetensors.index.json")}


def model_tensors(model: Model, target: Target, layout: str) -> dict[str, Tensor]:
    """All weights of a model under the names of a layout."""
    model_type = model.config.model_type
    if model_type not in target.maps:
        raise CheckpointError(f"the layout {layout!r} has no names for {model_type} (it has: {', '.join(target.maps)})")
    name_map = MAPS.get(target.maps[model_type])
    state = {name: tensor.detach() for name, tensor in model.state_dict().items()}
    written: dict[str, Tensor] = {}
    parts = [("backbone.", "backbone", target.prefix(model_type, len(model.heads) > 0))]
    for head in model.heads:
        if head not in HEADS:
            raise CheckpointError(f"the layout {layout!r} has no names for the head {head!r}: save one model a task")
        for inner, part in HEADS.get(head).parts:
            parts.append((f"heads.{head}.{inner}." if inner else f"heads.{head}.", part, name_map.head_prefixes[0]))
    for ours, part, theirs in parts:
        inside = {name.removeprefix(ours): tensor for name, tensor in state.items() if name.startswith(ours)}
        if not inside:
            continue
        count = model.config.num_hidden_layers + 1
        written |= write_part(name_map, part, inside, count=count, prefix=theirs)
    return written


def _family_prefix(model_type: str, has_head: bool) -> str:
    """transformers stores bare models without prefix."""
    return PREFIXES.get(model_type, "") if has_head else ""


def _always(prefix: str, model_type: str, has_head: bool) -> str:
    return prefix


def _google_config(config: ModelConfig, heads: tuple[str, ...], *, dtype: str) -> dict[str, Any]:
    """bert_config.json: the fields that Google's code reads, plus ours that differ from its constants."""
    values = write_config(config, heads, dtype=dtype)
    for key in ("model_type", "dtype", "architectures", "is_decoder", "tie_word_embeddings", "pad_token_id"):
        if key != "is_decoder" or not values.get(key):
            values.pop(key, None)
    if config.model_type == "nezha":
        values["use_relative_position"] = True
    # Google's "gelu" is the tanh form; the erf form has no name there, and ours reads back as what it is.
    values["hidden_act"] = {"gelu_new": "gelu", "gelu": "gelu_erf"}.get(config.hidden_act, config.hidden_act)
    return values


def _huawei_config(config: ModelConfig, heads: tuple[str, ...], *, dtype: str) -> dict[str, Any]:
    """The config.json or bert_config.json of Huawei's PyTorch code, whose "gelu" is the erf form."""
    values = write_config(config, heads, dtype=dtype)
    if config.model_type == "nezha":
        values["use_relative_position"] = True
    if config.model_type == "tinybert":
        values |= {"cell": {}, "emb_size": config.hidden_size, "structure": [], "pre_trained": "", "training": ""}
    return values


_BERT_KIN = {"bert": "huggingface", "nezha": "huggingface", "tinybert": "huggingface"}

TARGETS.add(
    "huggingface",
    Target(
        maps={**_BERT_KIN, "openai-gpt": "huggingface-gpt1"},
        format="safetensors",
        config_file="config.json",
        prefix=_family_prefix,
        write_config=write_config,
    ),
)
TARGETS.add(
    "google-tf1",
    Target(
        maps={"bert": "google-tf1", "nezha": "google-tf1"},
        format="tf_checkpoint",
        config_file="bert_config.json",
        prefix=partial(_always, ""),
        write_config=_google_config,
    ),
)
TARGETS.add(
    "huawei",
    Target(
        maps=_BERT_KIN,
        format="torch_bin",
        config_file="config.json",
        prefix=partial(_always, "bert."),
        write_config=_huawei_config,
    ),
)
TARGETS.add(
    "openai",
    Target(
        maps={"openai-gpt": "openai"},
        format="openai_npy",
        config_file="config.json",
        prefix=partial(_always, ""),
        write_config=write_config,
    ),
)
