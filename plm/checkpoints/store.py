"""A checkpoint on disk, opened: its weights, its config, and the layout its names are in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from plm.checkpoints.config_map import RawConfig, finish_config, read_config
from plm.checkpoints.formats import Format, find_weights
from plm.checkpoints.hub import CONFIG_FILES
from plm.checkpoints.maps import MAPS
from plm.checkpoints.name_map import NameMap, Source, score
from plm.config import read_json
from plm.errors import CheckpointError, ConfigError
from plm.heads.head import HEADS
from plm.models.config import ModelConfig, default_labels

# A table that explains less than this share of a checkpoint's names does not describe it.
LEAST_SCORE = 0.3


@dataclass
class Checkpoint:
    """What `open_checkpoint` found.

    path: as asked for. entry: the weight file, shard index or prefix chosen. tensors: by the source's names.
    source: the same through `name_map`. config: resolved, with this source's meaning of every field.
    architecture: the head that the config file names, or None.
    """

    path: Path
    entry: Path
    format: Format
    tensors: dict[str, Tensor]
    name_map: NameMap
    source: Source
    config: ModelConfig
    architecture: str | None
    notes: list[str]

    def stored_heads(self) -> tuple[str, ...]:
        """Heads whose weights are in the checkpoint, the one that the config names first.

        Names that several heads share (`classifier`) are read as the head that the config names, else as sequence
        classification.
        """
        parts = {part for part in self.name_map.parts if part != "backbone" and self.source.has(part)}
        named = self.architecture
        if named is not None and named in HEADS and self._complete(named, parts):
            covered = {part for _, part in HEADS.get(named).parts}
            rest = tuple(head for head in _heads_of(parts - covered, self.config))
            return (named, *(head for head in rest if not _shares_names(self.name_map, head, covered)))
        return _heads_of(parts, self.config) or _bare_heads(self)

    def _complete(self, head: str, parts: set[str]) -> bool:
        """Are all parts of a head there? Parts without weights of their own (GPT-1's tied output) always are."""
        return all(
            part in parts or not any(rule.tied_to is None for rule in self.name_map.parts.get(part, ()))
            for _, part in HEADS.get(head).parts
            if part in self.name_map.parts
        )


def open_checkpoint(
    path: Path, *, config: Path | Mapping[str, Any] | None = None, overrides: Mapping[str, Any] | None = None
) -> Checkpoint:
    """Open a folder, a weight file or a TensorFlow prefix; nothing is executed and no model is built.

    config: a config file or its content, in place of the one beside the weights.
    overrides: config fields that win over the file.
    Raises CheckpointError or ConfigError saying what was found and what to do.
    """
    container, entry = find_weights(path)
    raw, config_source = find_config(path, entry, config)
    tensors = container.read(entry)
    if not tensors:
        raise CheckpointError(f"{entry}: holds no tensors")
    raw_config = read_config(raw, source=config_source, tensor_names=tensors.keys(), overrides=overrides)
    name_map = choose_map(tensors, format_name=container.name, model_type=raw_config.model_type, path=entry)
    source = Source(tensors, name_map)
    _refuse(source, entry)
    inferred = {**name_map.defaults, **infer_sizes(source, raw_config)}
    resolved = finish_config(raw_config, inferred=inferred, activations=name_map.activations)
    resolved, notes = _match_sizes(resolved, source, entry)
    return Checkpoint(
        path=path,
        entry=entry,
        format=container,
        tensors=tensors,
        name_map=name_map,
        source=source,
        config=resolved,
        architecture=raw_config.architecture,
        notes=[*raw_config.notes, *notes],
    )


def read_config_file(path: Path, overrides: Mapping[str, Any] | None = None) -> ModelConfig:
    """The config of a folder or file alone, without its weights."""
    file = path if path.is_file() else next((path / name for name in CONFIG_FILES if (path / name).is_file()), None)
    if file is None:
        raise ConfigError(f"{path}: holds no config (looked for {', '.join(CONFIG_FILES)})")
    return finish_config(
        read_config(read_json(file), source=str(file), overrides=overrides), inferred={}, activations={}
    )


def choose_map(tensors: Mapping[str, Tensor], *, format_name: str, model_type: str, path: Path) -> NameMap:
    """The table that explains most of a checkpoint's names.

    Raises CheckpointError when none explains it, with some of the names: such a file would give a random model.
    """
    candidates = [
        name_map
        for _, name_map in MAPS.items()
        if model_type in name_map.families and (not name_map.formats or format_name in name_map.formats)
    ]
    scores = {name_map.name: score(tensors, name_map) for name_map in candidates}
    best = max(candidates, key=lambda name_map: scores[name_map.name], default=None)
    if best is None or scores[best.name] < LEAST_SCORE:
        some = ", ".join(list(tensors)[:4])
        raise CheckpointError(
            f"{path}: no table of names fits this {model_type} checkpoint; its tensors are called {some}, ... "
            f"Known layouts: {', '.join(MAPS.names())}. Is the model_type right? Another layout can be added to "
            f"plm.checkpoints.name_map.MAPS"
        )
    return best


def infer_sizes(source: Source, raw: RawConfig) -> dict[str, Any]:
    """Config values that tensors know: used where the config is silent, and for the classes of a stored head."""
    sizes: dict[str, Any] = {}
    shapes = {name: shape for name, shape in _shapes(source).items() if len(shape) == 2}
    rows = {"embeddings.position.weight": "max_position_embeddings", "embeddings.token_type.weight": "type_vocab_size",
            "blocks.{n}.feed_forward.up.weight": "intermediate_size"}  # fmt: skip
    sizes |= {field: shapes[name][0] for name, field in rows.items() if name in shapes}
    if source.name_map.name == "openai" and "embeddings.word.weight" in shapes:
        # OpenAI's release has no config: shapes say all but the number of heads, which its train.py sets to 12.
        sizes["vocab_size"], sizes["hidden_size"] = shapes["embeddings.word.weight"]
        sizes["num_hidden_layers"] = source.count("backbone")
        sizes["num_attention_heads"] = 12
    labels = _classes(source)
    if labels is not None and raw.values.get("id2label") is None:
        sizes["id2label"] = default_labels(labels)
    if raw.model_type == "tinybert":
        sizes |= _fit_sizes(source)
    return sizes


def _classes(source: Source) -> int | None:
    """Rows of the stored classifier, whatever kind it is."""
    for rule in source.name_map.parts.get("classifier", ()):
        name = source.find("classifier", rule, 0)
        if name is not None and rule.names == ("weight",):
            return int(rule.read(source.peek(name))[0].shape[0])
    return None


def _fit_sizes(source: Source) -> dict[str, Any]:
    shared = any(
        rule.names == ("shared.weight",) and source.find("fit", rule, 0)
        for rule in source.name_map.parts.get("fit", ())
    )
    per_layer = source.count("fit") > 0
    if not shared and not per_layer:
        return {}
    kind = {(True, True): "both", (True, False): "shared", (False, True): "per_layer"}[shared, per_layer]
    weights = [
        rule.read(source.peek(name))[0]
        for rule in source.name_map.parts["fit"]
        if (name := source.find("fit", rule, 0)) and rule.names[0].endswith("weight")
    ]
    return {"fit": kind, "fit_size": int(weights[0].shape[0])}


def _shapes(source: Source) -> dict[str, tuple[int, ...]]:
    """Shapes of backbone tensors by our names, numbers as `{n}`, those of number 0."""
    shapes: dict[str, tuple[int, ...]] = {}
    for rule in source.name_map.parts["backbone"]:
        name = source.find("backbone", rule, 0)
        if name is not None and source.peek(name).dim() >= 1:
            try:
                parts = rule.read(source.peek(name))
            except (RuntimeError, IndexError):
                continue  # a wrong number of dimensions, which loading reports with both shapes
            shapes |= {ours: tuple(part.shape) for ours, part in zip(rule.names, parts, strict=False)}
    return shapes


def _match_sizes(config: ModelConfig, source: Source, entry: Path) -> tuple[ModelConfig, list[str]]:
    """Compare config and tensors before anything is built, so that a wrong number cannot ask for a huge model."""
    shapes, notes = _shapes(source), []
    word = shapes.get("embeddings.word.weight") or shapes.get("embeddings.word.weight", ())
    layers = source.count("backbone")
    if not shapes:
        raise CheckpointError(f"{entry}: holds no tensor of a {config.model_type} backbone")
    if layers != config.num_hidden_layers:
        raise CheckpointError(
            f"{entry}: holds {layers} layers, the config says num_hidden_layers {config.num_hidden_layers}"
        )
    if word and word[0] > config.vocab_size and word[0] % 8 == 0 and word[0] - config.vocab_size < 128:
        # NVIDIA pads the table to a multiple of 8; the rows are ordinary weights and kept.
        notes.append(f"the word embeddings have {word[0]} rows, the config says vocab_size {config.vocab_size}: kept")
        config = _replace(config, vocab_size=word[0])
    expected = {
        "embeddings.word.weight": (config.vocab_size, config.hidden_size),
        "embeddings.position.weight": (config.max_position_embeddings, config.hidden_size),
        "embeddings.token_type.weight": (config.type_vocab_size, config.hidden_size),
        "blocks.{n}.attention.query.weight": (config.hidden_size, config.hidden_size),
        "blocks.{n}.feed_forward.up.weight": (config.intermediate_size, config.hidden_size),
    }
    for name, shape in expected.items():
        if (
            name in shapes
            and shapes[name] != shape
            and not (name == "embeddings.position.weight" and _relative(config))
        ):
            raise CheckpointError(
                f"{entry}: {name.replace('{n}', '0')} has shape {shapes[name]}, the config asks for {shape}"
            )
    return config, notes


def _relative(config: ModelConfig) -> bool:
    return hasattr(config, "max_relative_position")


def _replace(config: ModelConfig, **changes: Any) -> ModelConfig:
    import dataclasses

    return dataclasses.replace(config, **changes)


def _refuse(source: Source, entry: Path) -> None:
    from fnmatch import fnmatchcase

    for pattern, reason in source.name_map.refused:
        hit = next((name for name in source if fnmatchcase(name, pattern)), None)
        if hit is not None:
            raise CheckpointError(f"{entry}: cannot be loaded because of {hit!r}: {reason}")


def find_config(
    path: Path, entry: Path, config: Path | Mapping[str, Any] | None = None
) -> tuple[Mapping[str, Any], str]:
    """The config that belongs to an entry of weights, unread, and where it was found.

    path: as asked for. config: as open_checkpoint. Raises ConfigError when there is none.
    """
    if isinstance(config, Mapping):
        return config, "config"
    if config is not None:
        return read_json(config), str(config)
    folders = dict.fromkeys((path if path.is_dir() else path.parent, entry.parent, entry.parent.parent))
    for folder in folders:
        for name in CONFIG_FILES:
            if (folder / name).is_file():
                return read_json(folder / name), str(folder / name)
    if entry.is_dir() and (entry / "params_shapes.json").is_file():
        return {"model_type": "openai-gpt"}, str(entry)
    if (entry.parent / "params_shapes.json").is_file():
        return {"model_type": "openai-gpt"}, str(entry)
    raise ConfigError(
        f"{path}: holds no config (looked for {', '.join(CONFIG_FILES)}); weights alone do not say how many attention "
        "heads a model has: pass config=, a file or a dictionary"
    )


def _heads_of(parts: set[str], config: ModelConfig) -> tuple[str, ...]:
    """Heads that use up the stored parts."""
    heads: list[str] = []
    if "language_model" in parts and "next_sentence" in parts:
        heads.append("pretraining")
    elif "language_model" in parts:
        heads.append("masked_lm" if config.attention_pattern == "full" else "causal_lm")
    elif "next_sentence" in parts:
        heads.append("next_sentence")
    if "choice" in parts:
        heads.append("double_heads")
    if "classifier" in parts:
        heads.append("sequence_classification")
    elif "span" in parts:
        heads.append("question_answering")
    if "fit" in parts:
        heads.append("hidden_projection")
    return tuple(heads)


def _bare_heads(checkpoint: Checkpoint) -> tuple[str, ...]:
    """A GPT-1 without stored heads is still a language model: its output is tied."""
    return ("causal_lm",) if checkpoint.config.model_type == "openai-gpt" and checkpoint.architecture is None else ()


def _shares_names(name_map: NameMap, head: str, covered: set[str]) -> bool:
    taken = {rule.theirs for part in covered for rule in name_map.parts.get(part, ())}
    return any(rule.theirs in taken for _, part in HEADS.get(head).parts for rule in name_map.parts.get(part, ()))
