"""Config files of other libraries, read into our configs and written back."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from plm.checkpoints.config_keys import (
    ACTIVATION_ALIASES,
    CLASS_PREFIXES,
    MODEL_TYPE_ALIASES,
    NEUTRAL,
    ONLY,
    UNDERSTOOD,
    UNSAID,
    ConfigKeys,
    keys_of,
)
from plm.checkpoints.head_plans import KEY as HEADS_KEY
from plm.checkpoints.head_plans import read_plans
from plm.config import from_dict
from plm.errors import ConfigError, did_you_mean
from plm.heads.head import HEADS
from plm.heads.several import HeadPlan
from plm.models.config import ModelConfig, default_labels
from plm.models.families import FAMILIES

# Sizes that decide what a model is: never guessed, always from the file (or the tensors).
REQUIRED = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads")

# More classes than anybody has: a hostile number must not fill memory with their names.
MOST_LABELS = 1_000_000


@dataclass
class RawConfig:
    """A config file as found, and what plm made of it.

    source: where it comes from, for messages. values: fields of the family's config.
    architecture: head named by `architectures`, if any. plans: of several heads, if the file lists them.
    notes: keys that were not used.
    """

    source: str
    model_type: str
    values: dict[str, Any]
    architecture: str | None = None
    plans: dict[str, HeadPlan] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read_config(
    raw: Mapping[str, Any],
    *,
    source: str,
    tensor_names: Collection[str] = (),
    overrides: Mapping[str, Any] | None = None,
) -> RawConfig:
    """Understand a config of transformers, Google, Huawei, NVIDIA, PaddleNLP, PALM, MindSpore or MindNLP.

    tensor_names: names in the weights, which tell a family when the config does not.
    overrides: fields of ours or keys of theirs that win over the file; `model_type` and `num_labels` too.
    Keys of the file that nothing here knows are noted. Raises ConfigError for overrides that nothing here knows, for an
    unknown model_type (listing the known ones) and for values of the wrong type.
    """
    overrides = overrides or {}
    both = {**raw, **overrides}
    if overrides:
        source = f"{source}, with {', '.join(overrides)} given by the caller"
    model_type = _model_type(both, source, tensor_names)
    keys = keys_of(model_type)
    fields = {f.name for f in dataclasses.fields(FAMILIES.get(model_type).config)}
    result = RawConfig(source, model_type, {}, architecture=_architecture(both))
    for given, is_override in ((raw, False), (overrides, True)):
        for key, value in given.items():
            if keys.field_of(key) in fields:
                result.values[keys.field_of(key)] = value
            elif key in ONLY:
                _require_only(key, value, source)
            elif key == HEADS_KEY and isinstance(value, list) and not is_override:
                result.plans = read_plans(value, source=source, overridden=_overridden(overrides, keys))
            elif key not in UNDERSTOOD and (is_override or key not in NEUTRAL):
                hint = did_you_mean(key, {*fields, *keys.spellings(), *UNDERSTOOD, *ONLY})
                if is_override:
                    raise ConfigError(f"{key!r} is no config field of {model_type} and changes nothing{hint}")
                result.notes.append(f"{source}: {key!r} is not used{hint}")
    result.values |= _pattern(raw, overrides, source) | _labels(raw, overrides, result)
    return result


def finish_config(raw: RawConfig, *, inferred: Mapping[str, Any], activations: Mapping[str, str]) -> ModelConfig:
    """The family's config from what the file says and what the tensors say.

    inferred: values taken from tensors or from the code of the source, used where the file is silent; those that the
        family does not have are left out.
    activations: what `hidden_act` means in this source.
    Raises ConfigError naming the file and the missing or wrong fields.
    """
    cls = FAMILIES.get(raw.model_type).config
    known = {f.name for f in dataclasses.fields(cls)}
    values = {name: value for name, value in inferred.items() if name in known} | raw.values
    missing = [name for name in REQUIRED if name not in values]
    if missing:
        raise ConfigError(
            f"{raw.source}: missing field {', '.join(map(repr, missing))}; plm never guesses sizes: add them to the "
            f"file or pass them, from_pretrained(..., {missing[0]}=...)"
        )
    if "hidden_act" in values:
        values["hidden_act"] = resolve_activation(values["hidden_act"], activations)
    if values.get("intermediate_size") is None and isinstance(values["hidden_size"], int):
        values["intermediate_size"] = 4 * values["hidden_size"]
    return from_dict(cls, values, source=raw.source)


def resolve_activation(name: Any, activations: Mapping[str, str]) -> Any:
    """Our name of an activation as a source calls it. Strangers pass: the config's own check names them."""
    if not isinstance(name, str):
        return name
    name = activations.get(name, name)
    return ACTIVATION_ALIASES.get(name, name)


def spell_activation(name: str, activations: Mapping[str, str]) -> str:
    """What a source calls one of our activations: the inverse of `resolve_activation`."""
    theirs = [*(key for key, ours in activations.items() if ours == name), name, *ACTIVATION_ALIASES]
    return next(spelling for spelling in theirs if resolve_activation(spelling, activations) == name)


def write_config(
    config: ModelConfig, heads: Collection[str], *, dtype: str, activations: Mapping[str, str]
) -> dict[str, Any]:
    """config.json as transformers writes it, plus the fields of ours that transformers does not know.

    dtype: of the weights ("float32"). activations: what names of activations mean to its readers (NameMap.activations).
    """
    keys = keys_of(config.model_type)
    values: dict[str, Any] = {
        "model_type": config.model_type,
        "dtype": dtype,
        "architectures": [architecture_name(config.model_type, heads)],
    }
    for name, default in _defaults(config).items():
        value = getattr(config, name)
        if value != default or name not in (*UNSAID, *keys.unsaid):
            values[keys.names.get(name, name)] = value
    values[keys.names.get("hidden_act", "hidden_act")] = spell_activation(config.hidden_act, activations)
    if _defaults(config)["attention_pattern"] == "full":
        values["is_decoder"] = config.attention_pattern == "causal"
        if values["is_decoder"]:
            del values["attention_pattern"]
    if config.id2label is not None:
        values["id2label"] = {str(i): label for i, label in config.id2label.items()}
        values["label2id"] = {label: i for i, label in config.id2label.items()}
    return values


def architecture_name(model_type: str, heads: Collection[str]) -> str:
    """The class name that transformers would use, such as BertForSequenceClassification."""
    prefix = CLASS_PREFIXES.get(model_type, "".join(part.capitalize() for part in model_type.split("-")))
    suffixes = [suffix for name in heads if name in HEADS and (suffix := HEADS.get(name).architecture)]
    return prefix + (suffixes[0] if suffixes else "Model")


def _defaults(config: ModelConfig) -> dict[str, Any]:
    """The default of every field; that of intermediate_size is what a file means that does not say it."""
    return {f.name: f.default for f in dataclasses.fields(config)} | {"intermediate_size": 4 * config.hidden_size}


def _model_type(raw: Mapping[str, Any], source: str, tensor_names: Collection[str]) -> str:
    named = raw.get("model_type")
    fit = any("fit_dense" in name for name in tensor_names)
    if named is None or named == "":
        return _inferred_type(raw, fit)
    if not isinstance(named, str):
        raise ConfigError(f"{source}: model_type: expected str, got {type(named).__name__}")
    named = MODEL_TYPE_ALIASES.get(named, named)
    if named not in FAMILIES:
        known = ", ".join(map(repr, FAMILIES.names()))
        raise ConfigError(
            f"{source}: model_type {named!r} is not known{did_you_mean(named, FAMILIES)} (known: {known})"
        )
    if named == "bert" and raw.get("use_relative_position") is True:
        return "nezha"
    # Huawei's general TinyBERTs call themselves bert; a classifier fine-tuned elsewhere really is one.
    if named == "bert" and fit and not _architecture(raw):
        return "tinybert"
    return named


def _inferred_type(raw: Mapping[str, Any], fit: bool) -> str:
    if "n_embd" in raw or "n_layer" in raw:
        return "openai-gpt"
    if raw.get("use_relative_position") is True:
        return "nezha"
    if fit or {"cell", "emb_size"} <= raw.keys() or {"cell", "structure"} <= raw.keys():
        return "tinybert"
    if "max_relative_position" in raw and raw.get("use_relative_position") is not False:
        return "nezha"
    return "bert"


def _architecture(raw: Mapping[str, Any]) -> str | None:
    """The head that `architectures` names. Longest suffix first, since ForX may end in Y."""
    named = raw.get("architectures")
    if not isinstance(named, (list, tuple)) or not named or not isinstance(named[0], str):
        return None
    name = named[0].lower()
    suffixes = sorted(HEADS.items(), key=lambda item: -len(item[1].architecture))
    return next(
        (head for head, spec in suffixes if spec.architecture and name.endswith(spec.architecture.lower())), None
    )


def _pattern(raw: Mapping[str, Any], overrides: Mapping[str, Any], source: str) -> dict[str, Any]:
    """What `is_decoder` says about attention, where attention_pattern itself does not say more.

    In files only True counts: false stands in those of models that are causal anyway.
    """
    if "attention_pattern" in overrides or not ("is_decoder" in overrides or raw.get("is_decoder") is True):
        return {}
    is_decoder = overrides.get("is_decoder", True)
    if not isinstance(is_decoder, bool):
        raise ConfigError(f"{source}: is_decoder: expected bool, got {type(is_decoder).__name__} ({is_decoder!r})")
    if "is_decoder" not in overrides and "attention_pattern" in raw:
        return {}
    return {"attention_pattern": "causal" if is_decoder else "full"}


def _labels(raw: Mapping[str, Any], overrides: Mapping[str, Any], config: RawConfig) -> dict[str, Any]:
    """id2label from whichever of id2label, num_labels and label2id is there; names given beat numbers."""
    given, stored = _label_names(overrides, config.source), _label_names(raw, config.source)
    count = _label_count(overrides, config.source)
    if count is not None and given is not None and len(given) != count:
        raise ConfigError(f"{config.source}: num_labels is {count}, and the names given are {len(given)}")
    if given is not None:
        return {"id2label": given}
    if count is not None:
        return {"id2label": stored if stored is not None and len(stored) == count else default_labels(count)}
    count = _label_count(raw, config.source)
    if stored is None:
        return {} if count is None else {"id2label": default_labels(count)}
    if count not in (None, len(stored)):
        config.notes.append(f"{config.source}: num_labels is {count}, but there are {len(stored)} names: these count")
    return {"id2label": stored}


def _overridden(overrides: Mapping[str, Any], keys: ConfigKeys) -> set[str]:
    """The fields of ours that a caller's overrides set."""
    names_labels = {"id2label", "label2id", "num_labels"} & overrides.keys()
    return {keys.field_of(key) for key in overrides} | ({"id2label"} if names_labels else set())


def _label_names(values: Mapping[str, Any], source: str) -> Any:
    """Names by id from id2label, a mapping or a list, or from label2id; unchecked otherwise. None = not said."""
    names, numbers = values.get("id2label"), values.get("label2id")
    if isinstance(names, (list, tuple)):
        return dict(enumerate(names))
    if names is None:
        if isinstance(numbers, dict) and all(isinstance(number, int) for number in numbers.values()):
            return {number: name for name, number in numbers.items()}
        return None
    if not isinstance(names, Mapping):
        raise ConfigError(f"{source}: id2label: expected names by id, got {type(names).__name__}")
    return names


def _label_count(values: Mapping[str, Any], source: str) -> int | None:
    count = values.get("num_labels")
    if count is None or (isinstance(count, int) and not isinstance(count, bool) and 1 <= count <= MOST_LABELS):
        return count
    raise ConfigError(f"{source}: num_labels: expected an integer from 1 to {MOST_LABELS}, got {count!r}")


def _require_only(key: str, value: Any, source: str) -> None:
    if value not in ONLY[key]:
        raise ConfigError(
            f"{source}: {key}: {value!r} asks for something that plm does not have (only {ONLY[key][0]!r} is supported)"
        )
