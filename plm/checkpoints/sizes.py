"""What the shapes of tensors say about sizes: they fill gaps of a config, and refuse a config that does not fit."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from plm.checkpoints.config_map import RawConfig
from plm.checkpoints.name_map import Rule, expand
from plm.checkpoints.source import Source
from plm.errors import CheckpointError, ShapeError
from plm.models.config import ModelConfig, default_labels
from plm.models.families import FAMILIES

WORDS = "embeddings.word.weight"
POOLER = "pooler.dense.weight"

# Config fields that are the number of rows of one of our backbone tensors.
ROWS = {
    "max_position_embeddings": "embeddings.position.weight",
    "type_vocab_size": "embeddings.token_type.weight",
    "intermediate_size": "blocks.{n}.feed_forward.up.weight",
}

# Heads with one output for each of the config's classes.
HEADS_BY_LABEL = ("sequence_classification", "token_classification")

# Numbers that no tensor confirms, and the most that is believed: hostile ones would fill memory, or new heads with
# infinity.
MOST = {"max_relative_position": 2**16, "initializer_range": 1e3}

# Parts of a backbone that a checkpoint may lack: they belong to what sits on top.
OPTIONAL = ("pooler.",)


def infer_sizes(source: Source, config: RawConfig) -> dict[str, Any]:
    """Config values that tensors know, for where the config is silent."""
    shapes = stored_shapes(source)
    sizes: dict[str, Any] = {field: shapes[ours][0] for field, ours in ROWS.items() if len(shapes.get(ours, ())) == 2}
    if not source.name_map.has_config and len(shapes.get(WORDS, ())) == 2:
        sizes["vocab_size"], sizes["hidden_size"] = shapes[WORDS]
        sizes["num_hidden_layers"] = source.count("backbone")
    classes = _rows(source, "classifier", "weight")
    # 2 is what no labels mean; a classifier of another kind of head has nothing to do with labels.
    if classes not in (None, 2) and config.architecture in (None, *HEADS_BY_LABEL):
        sizes["id2label"] = default_labels(classes)
    return sizes | _fit_sizes(source)


def check_sizes(config: ModelConfig, source: Source, entry: Path) -> tuple[ModelConfig, list[str]]:
    """Compare a config with the tensors before anything is built, so that a wrong number cannot ask for a huge model.

    Returns the config, with as many words as the table has rows where the source padded it, and notes for the report.
    Raises CheckpointError naming the tensor and both sizes.
    """
    if not source.has("backbone"):
        raise CheckpointError(f"{entry}: holds no tensor of a {config.model_type} backbone")
    _check_layers(config, source.count("backbone"), entry)
    _check_constants(config, _fit_sizes(source), entry)
    config, notes = _with_padded_words(config, source)
    expected = backbone_shapes(config)
    for rule in source.name_map.parts["backbone"]:
        name = _find(source, rule, 0)
        if name is not None:
            for ours, tensor in zip(rule.names, read(rule, source, name, entry), strict=True):
                if ours in expected and tuple(tensor.shape) != expected[ours]:
                    raise misfit(entry, source, name, wanted=expected[ours], ours=ours.replace("{n}", "0"))
    return config, notes


def missing_tensors(config: ModelConfig, source: Source) -> dict[str, str]:
    """Backbone tensors that a config asks for and a source lacks: our names -> what the source would call them."""
    wanted = {name for name in backbone_shapes(config) if not name.startswith(OPTIONAL)}
    rules = source.name_map.parts["backbone"]
    known = {ours for rule in rules for ours in rule.names}
    prefix = source.prefix("backbone")
    return {name: name for name in sorted(wanted - known)} | {
        ours: prefix + rule.theirs_at(number)
        for rule, number in expand(rules, config.num_hidden_layers)
        for general, ours in zip(rule.names, rule.ours_at(number), strict=True)
        if general in wanted and _find(source, rule, number) is None
    }


def stored_shapes(source: Source) -> dict[str, tuple[int, ...]]:
    """Shapes of backbone tensors by our names, `{n}` being 0. Those of a wrong number of dimensions are left out."""
    shapes: dict[str, tuple[int, ...]] = {}
    for rule in source.name_map.parts["backbone"]:
        name = _find(source, rule, 0)
        if name is not None:
            with suppress(ShapeError):
                tensors = rule.read(source.peek(name))
                shapes |= {ours: tuple(tensor.shape) for ours, tensor in zip(rule.names, tensors, strict=True)}
    return shapes


def backbone_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Shapes of the backbone parameters that a config asks for, `{n}` standing for the number of a block.

    A backbone of one block is built without memory, so that every family tells for itself.
    Raises CheckpointError for sizes that no memory has.
    """
    try:
        with torch.device("meta"):
            backbone = FAMILIES.get(config.model_type).build(dataclasses.replace(config, num_hidden_layers=1))
    except (RuntimeError, OverflowError, TypeError) as error:
        raise CheckpointError(f"no {config.model_type} can be built from this config: {error}") from error
    return {
        name.replace("blocks.0.", "blocks.{n}.", 1): tuple(parameter.shape)
        for name, parameter in backbone.named_parameters()
    }


def read(rule: Rule, source: Source, name: str, entry: Path) -> tuple[Tensor, ...]:
    """One of a source's tensors as ours. Raises CheckpointError naming file and tensor when the rule cannot read it."""
    try:
        return rule.read(source.peek(name))
    except ShapeError as error:
        raise CheckpointError(f"{entry}: {source.original[name]}: {error}") from error


def misfit(entry: Path, source: Source, name: str, *, wanted: tuple[int, ...], ours: str) -> CheckpointError:
    """The error for a tensor that does not fit. wanted: the shape of ours. ours: its name here."""
    tensor = source.peek(name)
    found = f"{tuple(tensor.shape)}, {tensor.dtype}".replace("torch.", "")
    return CheckpointError(
        f"{entry}: {source.original[name]}: the config asks for numbers of shape {wanted} ({ours}), found {found}"
    )


def _check_layers(config: ModelConfig, layers: int, entry: Path) -> None:
    if layers != config.num_hidden_layers:
        advice = "; `plm shrink --keep-layers` takes layers out" if layers > config.num_hidden_layers else ""
        raise CheckpointError(
            f"{entry}: holds {layers} layers, the config says num_hidden_layers {config.num_hidden_layers}{advice}"
        )


def _check_constants(config: ModelConfig, fit: Mapping[str, Any], entry: Path) -> None:
    """Numbers that no backbone tensor confirms."""
    for field, most in MOST.items():
        if getattr(config, field, 0) > most:
            raise CheckpointError(f"{entry}: {field}: expected at most {most:g}, got {getattr(config, field)}")
    wanted = getattr(config, "fit_size", None)
    if wanted is not None and fit and wanted != fit["fit_size"]:
        raise CheckpointError(f"{entry}: the fit layers have {fit['fit_size']} rows, the config says fit_size {wanted}")


def _find(source: Source, rule: Rule, number: int) -> str | None:
    """The source's name for a backbone rule; a copy counts where the original is missing."""
    found = source.find("backbone", rule, number)
    if found is None and rule.names == (WORDS,):
        return source.find_copy(f"backbone.{WORDS}")
    return found


def _with_padded_words(config: ModelConfig, source: Source) -> tuple[ModelConfig, list[str]]:
    rows = stored_shapes(source).get(WORDS, (0,))[0]
    # NVIDIA's code pads the table to a multiple of 8; the rows are ordinary weights and kept.
    if not (0 < rows - config.vocab_size < 128 and rows % 8 == 0):
        return config, []
    note = f"the word embeddings have {rows} rows, the config says vocab_size {config.vocab_size}: all are kept"
    return dataclasses.replace(config, vocab_size=rows), [note]


def _fit_sizes(source: Source) -> dict[str, Any]:
    """Which fit layers TinyBERT has, and the teacher's hidden size."""
    shared, per_layer = _rows(source, "fit", "shared.weight"), _rows(source, "fit", "per_layer.{n}.weight")
    kinds = {(True, True): "both", (True, False): "shared", (False, True): "per_layer"}
    kind = kinds.get((shared is not None, per_layer is not None))
    return {} if kind is None else {"fit": kind, "fit_size": shared or per_layer}


def _rows(source: Source, part: str, ours: str) -> int | None:
    """Rows of one of the matrices of a part, or None when it is not there."""
    for rule in source.name_map.parts.get(part, ()):
        name = source.find(part, rule, 0) if rule.names == (ours,) else None
        if name is not None and source.peek(name).dim() == 2:
            return int(rule.read(source.peek(name))[0].shape[0])
    return None
