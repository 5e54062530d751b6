"""From a model to files that it, and other libraries, can be loaded from."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from plm.checkpoints.config_map import write_config
from plm.checkpoints.formats import FORMATS
from plm.checkpoints.formats.replacing import replacing
from plm.checkpoints.formats.safetensors import write as write_safetensors
from plm.checkpoints.head_plans import KEY as HEADS_KEY
from plm.checkpoints.head_plans import are_plain, in_the_table, write_plans
from plm.checkpoints.hub import CONFIG_FILES
from plm.checkpoints.loading import parts_of
from plm.checkpoints.maps import MAPS
from plm.checkpoints.name_map import NameMap, table_for, write_part
from plm.config import write_json
from plm.errors import CheckpointError
from plm.heads.head import HEADS
from plm.heads.model import Model
from plm.models.config import ModelConfig
from plm.registry import Registry

DEFAULT_SHARD_SIZE = 5 * 2**30

# What Google's modeling.py reads from bert_config.json.
GOOGLE_KEYS = (
    "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_act",
    "hidden_dropout_prob", "attention_probs_dropout_prob", "max_position_embeddings", "type_vocab_size",
    "initializer_range",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Target:
    """One row of TARGETS: a layout that plm writes. Tables of names say themselves which layouts they write.

    format: container in FORMATS. config_file: name of the config, and by model type in `config_files` where it is
        another one.
    prefix: (table, model type, whether there is a head) -> what stands before backbone names.
    write_config: (our config, heads, dtype=, activations=) -> content of the config file; see write_config.
    """

    format: str
    config_file: str
    config_files: Mapping[str, str] = field(default_factory=dict)
    prefix: Callable[[NameMap, str, bool], str]
    write_config: Callable[..., dict[str, Any]]

    def config_name(self, model_type: str) -> str:
        """Name of the config file for a family."""
        return self.config_files.get(model_type, self.config_file)


TARGETS: Registry[Target] = Registry("layout to write")


def save_model(
    model: Model, folder: Path, *, layout: str = "huggingface", max_shard_size: int = DEFAULT_SHARD_SIZE
) -> list[Path]:
    """Write config and weights of a model into a folder, all or nothing.

    Everything is written aside first and put in place at the end, so a full disk or Ctrl-C leaves the old files.
    Raises UnknownNameError for an unknown layout, CheckpointError when it cannot hold this model, and when other files
    in the folder would be read instead of the new ones.
    """
    target = TARGETS.get(layout)
    tensors = model_tensors(model, target, layout)
    config_name = target.config_name(model.config.model_type)
    refuse_hidden(folder, target, config_name)
    container = FORMATS.get(target.format)
    write = container.write
    assert write is not None, "TARGETS lists formats that can be written"
    if write is write_safetensors:
        write = partial(write_safetensors, max_shard_size=max_shard_size)
    with replacing(folder) as new, tempfile.TemporaryDirectory(dir=folder, prefix=".saving-") as aside:
        config_file = Path(aside) / config_name
        write_json(config_file, config_content(model, target, layout))
        for file in (config_file, *write(Path(aside), tensors)):  # an index of shards comes last, and stays last
            new.adopt(file)
        return new.commit(stale=container.stale)


def model_tensors(model: Model, target: Target, layout: str) -> dict[str, Tensor]:
    """All weights of a model under the names of a layout. Raises CheckpointError when one has no name there."""
    table = _table(model.config, layout)
    strangers = [head for head, plan in model.plans.items() if plan.kind is not None and plan.kind not in HEADS]
    if strangers:
        raise CheckpointError(f"the layout {layout!r} has no names for the head {strangers[0]!r}")
    state = {name: tensor.detach() for name, tensor in model.state_dict().items()}
    prefix = target.prefix(table, model.config.model_type, len(model.heads) > 0)
    written: dict[str, Tensor] = {}
    in_table = in_the_table(model.plans)
    for ours, part in parts_of(in_table):
        inside = {name.removeprefix(ours): tensor for name, tensor in state.items() if name.startswith(ours)}
        named = write_part(
            table,
            part,
            inside,
            count=model.config.num_hidden_layers + 1,
            prefix=prefix if part == "backbone" else table.head_prefixes[0],
        )
        twice = named.keys() & written.keys()
        if twice:
            raise CheckpointError(
                f"the layout {layout!r} calls tensors of several heads {min(twice)!r}: save one model a task"
            )
        written |= named
    own = tuple(
        f"heads.{name}." for name, plan in model.plans.items() if plan.kind is not None and name not in in_table
    )
    return written | {name: tensor for name, tensor in state.items() if name.startswith(own)}


def config_content(model: Model, target: Target, layout: str) -> dict[str, Any]:
    """What the config file of a layout says about a model; several heads are listed besides."""
    dtype = str(model.dtype).removeprefix("torch.")
    activations = _table(model.config, layout).activations
    kinds = tuple(in_the_table(model.plans).values())
    content = target.write_config(model.config, kinds, dtype=dtype, activations=activations)
    return content if are_plain(model.plans) else content | {HEADS_KEY: write_plans(model.plans)}


def _table(config: ModelConfig, layout: str) -> NameMap:
    table = table_for(layout, config.model_type)
    if table is None:
        known = dict.fromkeys(family for _, one in MAPS.items() if layout in one.layouts for family in one.families)
        raise CheckpointError(
            f"the layout {layout!r} has no names for {config.model_type} (it has: {', '.join(known)})"
        )
    return table


def refuse_hidden(folder: Path, target: Target, config_name: str) -> None:
    """Raise CheckpointError for files in a folder that would be found before those of a layout.

    config_name: what the config file of the new model will be called.
    """
    hiding = [entry for name in _before(target.format, FORMATS.names()) for entry in FORMATS.get(name).find(folder)]
    hiding += [folder / name for name in _before(config_name, CONFIG_FILES) if (folder / name).is_file()]
    if hiding:
        raise CheckpointError(
            f"{folder}: {hiding[0].name} would be read instead of what is to be written ({target.format}, "
            f"{config_name}); delete it or name another folder"
        )


def _before(name: str, names: Sequence[str]) -> Sequence[str]:
    """The names in front of one of them."""
    return names[: names.index(name)] if name in names else names


def _as_transformers(table: NameMap, model_type: str, has_head: bool) -> str:
    """transformers puts the family's name before the backbone of a model with a head, and nothing before a bare one."""
    if not has_head and "" in table.prefixes:
        return ""
    return {"nezha": "nezha."}.get(model_type, table.prefixes[0])


def _always(prefix: str, table: NameMap, model_type: str, has_head: bool) -> str:
    return prefix


def _google_config(
    config: ModelConfig, heads: Collection[str], *, dtype: str, activations: Mapping[str, str]
) -> dict[str, Any]:
    """bert_config.json: the fields that Google's code reads, plus ours that differ from the usual."""
    values = write_config(config, heads, dtype=dtype, activations=activations)
    usual = {f.name: f.default for f in dataclasses.fields(config)} | {"is_decoder": False}
    relative = {"use_relative_position": True} if config.model_type == "nezha" else {}
    return relative | {
        name: value
        for name, value in values.items()
        if name in GOOGLE_KEYS or (name in usual and value != usual[name]) or name == "label2id"
    }


def _huawei_config(
    config: ModelConfig, heads: Collection[str], *, dtype: str, activations: Mapping[str, str]
) -> dict[str, Any]:
    """The config of Huawei's PyTorch code, which is that of transformers but for the mark of NEZHA."""
    values = write_config(config, heads, dtype=dtype, activations=activations)
    return values | ({"use_relative_position": True} if config.model_type == "nezha" else {})


TARGETS.add(
    "huggingface",
    Target(
        format="safetensors",
        config_file="config.json",
        prefix=_as_transformers,
        write_config=write_config,
    ),
)
TARGETS.add(
    "google-tf1",
    Target(
        format="tf_checkpoint",
        config_file="bert_config.json",
        prefix=partial(_always, ""),
        write_config=_google_config,
    ),
)
TARGETS.add(
    "huawei",
    Target(
        format="torch_bin",
        config_file="config.json",
        config_files={"nezha": "bert_config.json"},
        prefix=partial(_always, "bert."),
        write_config=_huawei_config,
    ),
)
TARGETS.add(
    "openai",
    Target(
        format="openai_npy",
        config_file="config.json",
        prefix=partial(_always, ""),
        write_config=write_config,
    ),
)
