"""Adapters as small files beside a base: what LoRA learned, to be put on the same base again.

Two files, as PEFT writes them: `adapter_config.json` and `adapter_model.safetensors`. Tensors are called
`base_model.model.X.lora_A.weight`, `base_model.model.X.lora_B.weight`, and `base_model.model.X` for parameters that
were trained whole, with X the name that transformers has for the module. Such an adapter opens in PEFT, and PEFT's
open here. Where transformers has no module of its own (GPT-1's query, key and value are one), X is our name.
Source: PEFT's documentation, "PEFT checkpoint format".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from plm.blocks.linear import Linear
from plm.blocks.lora import ADAPTER_NAMES, LoraConfig, adapters, add_lora
from plm.checkpoints.formats.replacing import replacing
from plm.checkpoints.formats.safetensors import read
from plm.checkpoints.head_plans import in_the_table
from plm.checkpoints.loading import parts_of
from plm.checkpoints.name_map import expand, table_for
from plm.checkpoints.saving import TARGETS
from plm.config import from_dict, read_json
from plm.errors import CheckpointError, ConfigError, did_you_mean
from plm.heads.head import HEADS
from plm.heads.model import Model

CONFIG_NAME = "adapter_config.json"
WEIGHTS_NAME = "adapter_model.safetensors"
LAYOUT = "huggingface"

_FRONT = "base_model.model."
_SUFFIXES = {"lora_a": "lora_A.weight", "lora_b": "lora_B.weight"}

# Our names of what PEFT's config says of all adapters.
_KEYS = {"rank": "r", "alpha": "lora_alpha", "dropout": "lora_dropout"}

# What PEFT may do beyond plain LoRA, and the values that say that it does not.
_PLAIN: Mapping[str, tuple[Any, ...]] = {
    "init_lora_weights": (True, False, None, "gaussian"),  # others change the base, too
    "bias": ("none", None),
    "fan_in_fan_out": (False, None),
    "use_rslora": (False, None),
    "use_dora": (False, None),
    "lora_bias": (False, None),
    "rank_pattern": ({}, None),
    "alpha_pattern": ({}, None),
    "layer_replication": (None,),
    "trainable_token_indices": (None,),
    "target_parameters": (None, []),
}


@dataclass(frozen=True)
class Adapter:
    """What an adapter was made of.

    base: name or path of the model that it was trained on, as its maker gave it.
    config: its targets and what was trained beside them are full names.
    """

    base: str | None
    config: LoraConfig


def save_adapter(model: Model, folder: Path | str, *, base: str) -> list[Path]:
    """Write everything that is trained in a model with adapters (add_lora), both files or none.

    base: name or path of the model that the adapters were put on, for whoever loads them.
    Raises CheckpointError when the model has no adapters.
    """
    held = adapters(model)
    if not held:
        raise CheckpointError("the model has no adapters to save; merged ones are part of it: save the model")
    kept = _trained(model)
    theirs = {name: spelled for spelled, name in _pairs(model, every_prefix=False)}
    named = {
        _FRONT + _spelled(name, theirs): parameter.detach().contiguous()
        for name, parameter in model.named_parameters()
        if name in kept or name.endswith(ADAPTER_NAMES)
    }
    one = next(iter(held.values()))
    content = {
        "peft_type": "LORA",
        "base_model_name_or_path": base,
        "r": one.rank,
        "lora_alpha": one.alpha,
        "lora_dropout": one.dropout,
        "target_modules": [_module(_spelled(f"{name}.weight", theirs)) for name in held],
        "modules_to_save": _outermost({_module(_spelled(name, theirs)) for name in kept}) or None,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "task_type": None,
        "plm": {"base": _description(model)},
    }
    with replacing(Path(folder)) as new:
        with new.open(CONFIG_NAME) as file:
            file.write((json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode())
        with new.open(WEIGHTS_NAME) as file:
            file.write(save(named, metadata={"format": "pt"}))
        return new.commit()


def load_adapter(model: Model, folder: Path | str) -> Adapter:
    """Put a saved adapter on a model: the base that it was trained on, with the heads that were saved with it.

    Afterwards the adapters and what was trained beside them have requires_grad, everything else is frozen.
    Raises CheckpointError, with the model untouched, for another base, damaged files, and what is not plain LoRA.
    """
    folder = Path(folder)
    path = folder / WEIGHTS_NAME
    content = _read_config(folder)
    _check_base(model, content, folder)
    ours = dict(_pairs(model, every_prefix=True))
    tensors = {_read_name(name, ours, path): tensor for name, tensor in read(path).items()}
    try:
        config = _config_of(content, tensors, source=str(folder / CONFIG_NAME))
        _check_tensors(model, tensors, config, path=path)
        add_lora(model, config, generator=torch.Generator(model.device))  # what it draws is overwritten below
    except ConfigError as error:
        raise CheckpointError(f"{folder}: {error}") from error
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, tensor in tensors.items():
            parameters[name].copy_(tensor)
    return Adapter(content.get("base_model_name_or_path"), config)


def _trained(model: Model) -> list[str]:
    """Parameters that learn beside the adapters."""
    return [
        name
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and not name.endswith(ADAPTER_NAMES)
    ]


def _pairs(model: Model, *, every_prefix: bool) -> Iterator[tuple[str, str]]:
    """(their name, ours) of tensors that are the same here and there, number by number.

    every_prefix: True = with all that may stand before backbone names, for reading.
    """
    table = table_for(LAYOUT, model.config.model_type)
    if table is None:
        return
    names = {name for name in model.state_dict() if not name.endswith(ADAPTER_NAMES)}
    usual = TARGETS.get(LAYOUT).prefix(table, model.config.model_type, len(model.heads) > 0)
    heads = {name: kind for name, kind in in_the_table(model.plans).items() if kind in HEADS}
    for front, part in parts_of(heads):
        inside = {name.removeprefix(front) for name in names if name.startswith(front)}
        prefixes = (usual, *(table.prefixes if every_prefix else ())) if part == "backbone" else ("",)
        for rule, number in expand(table.rules_of(part, inside), model.config.num_hidden_layers + 1):
            is_same = len(rule.names) == 1 and not rule.transforms and not rule.is_copy
            if is_same and rule.applies(inside, number):
                for prefix in prefixes:
                    yield prefix + rule.theirs_at(number), front + rule.ours_at(number)[0]


def _spelled(name: str, theirs: Mapping[str, str]) -> str:
    """The name in files of one of our parameters; theirs: names of base parameters by ours."""
    module, _, own = name.rpartition(".")
    if own in _SUFFIXES:
        return f"{_module(theirs.get(f'{module}.weight', name))}.{_SUFFIXES[own]}"
    return theirs.get(name, name)


def _read_name(name: str, ours: Mapping[str, str], path: Path) -> str:
    """Our name of a tensor in a file; ours: names of base parameters by theirs."""
    if not name.startswith(_FRONT):
        raise CheckpointError(f"{path}: tensor {name!r} is not of an adapter: expected a name with {_FRONT!r} in front")
    name = name.removeprefix(_FRONT)
    for own, suffix in _SUFFIXES.items():
        if name.endswith(f".{suffix}"):
            weight = name.removesuffix(suffix) + "weight"
            return f"{_module(ours.get(weight, weight))}.{own}"
    return ours.get(name, name)


def _module(name: str) -> str:
    return name.rpartition(".")[0]


def _outermost(modules: Collection[str]) -> list[str]:
    """Modules that lie in none of the others, sorted."""
    return sorted(name for name in modules if not any(name.startswith(f"{other}.") for other in modules))


def _description(model: Model) -> dict[str, Any]:
    """What tells one base from another: its family, and the shapes of embeddings and blocks."""
    shapes = {
        name: list(parameter.shape)
        for name, parameter in model.backbone.named_parameters()
        if not name.endswith(ADAPTER_NAMES) and not name.startswith("pooler.")
    }
    digest = hashlib.sha256(json.dumps(shapes, sort_keys=True).encode()).hexdigest()
    count = sum(torch.Size(shape).numel() for shape in shapes.values())
    return {"model_type": model.config.model_type, "parameters": count, "shapes": digest}


def _read_config(folder: Path) -> dict[str, Any]:
    """The config, once it is sure that it speaks of plain LoRA."""
    path = folder / CONFIG_NAME
    try:
        content = read_json(path)
    except ConfigError as error:
        raise CheckpointError(f"{folder}: holds no adapter that can be read: {error}") from error
    if content.get("peft_type") != "LORA":
        raise CheckpointError(f"{path}: peft_type is {content.get('peft_type')!r}, plm reads 'LORA'")
    for key, plain in _PLAIN.items():
        if key in content and content[key] not in plain:
            raise CheckpointError(f"{path}: {key} is {content[key]!r}; plm reads plain LoRA only")
    return content


def _config_of(content: Mapping[str, Any], tensors: Collection[str], *, source: str) -> LoraConfig:
    """What the file says of the adapters, and the tensors of their places. Raises ConfigError naming the field."""
    values = {ours: content[theirs] for ours, theirs in _KEYS.items() if content.get(theirs) is not None}
    places = [name.removesuffix(".lora_a") for name in tensors if name.endswith(".lora_a")]
    trained = [name for name in tensors if not name.endswith(ADAPTER_NAMES)]
    return from_dict(LoraConfig, {**values, "targets": places, "trained": trained}, source=source)


def _check_base(model: Model, content: Mapping[str, Any], folder: Path) -> None:
    """Raise CheckpointError when the adapter says that it was trained on a base of other shapes."""
    note = content.get("plm")
    expected = note.get("base") if isinstance(note, dict) else None
    found = _description(model)
    if expected is None or expected == found:  # PEFT says nothing; then the shapes of its tensors have to do
        return
    base = content.get("base_model_name_or_path")
    raise CheckpointError(f"{folder}: was trained on {base!r}, {_told(expected)}; this model is {_told(found)}")


def _told(description: Any) -> str:
    told = description if isinstance(description, dict) else {}
    kind, count, shapes = (told.get(key) for key in ("model_type", "parameters", "shapes"))
    return f"a {kind} with {count} backbone parameters (shapes {str(shapes)[:8]})"


def _check_tensors(model: Model, tensors: Mapping[str, Tensor], config: LoraConfig, *, path: Path) -> None:
    """Raise CheckpointError unless every tensor has a place of its shape in the model."""
    expected = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    linears = [name for name, part in model.named_modules() if isinstance(part, Linear)]
    for place in config.targets:
        if place not in linears:
            near = did_you_mean(place, linears)
            raise CheckpointError(f"{path}: there is an adapter for {place!r}, which is no Linear of this model{near}")
        height, width = expected[f"{place}.weight"]
        expected |= {f"{place}.lora_a": (config.rank, width), f"{place}.lora_b": (height, config.rank)}
        if f"{place}.lora_b" not in tensors:
            raise CheckpointError(f"{path}: {place}.lora_b is missing")
    for name, tensor in tensors.items():
        if name not in expected:
            raise CheckpointError(f"{path}: this model has no place for {name!r}{did_you_mean(name, expected)}")
        if tuple(tensor.shape) != expected[name]:
            raise CheckpointError(f"{path}: {name!r} is {tuple(tensor.shape)}, this model needs {expected[name]}")
        if not tensor.isfinite().all():
            raise CheckpointError(f"{path}: {name!r} holds values that are not finite")
