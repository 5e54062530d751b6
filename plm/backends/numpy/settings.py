"""What config.json says about a model, as a Spec: the keys of transformers and our own, without torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from plm.backends.numpy.names import DECODER, ENCODER, Names
from plm.backends.program.spec import HeadFacts
from plm.config import from_dict, read_json, require_positive
from plm.errors import CheckpointError, ConfigError, did_you_mean

FILE = "config.json"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The keys that a forward pass depends on; names and meanings are those of plm.models.config.ModelConfig.

    num_labels: None = as many as id2label has, or as a stored classifier has outputs.
    max_position_embeddings, type_vocab_size: None = as many as the tables have rows.
    """

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int | None = None
    hidden_act: str = "gelu"
    max_position_embeddings: int | None = None
    type_vocab_size: int | None = None
    layer_norm_eps: float = 1e-12
    norm: Literal["post", "pre"] = "post"
    attention_pattern: Literal["full", "causal", "prefix"] = "full"
    language_model_transform: bool = True
    tie_word_embeddings: bool = True
    pad_token_id: int | None = 0
    classifier_pooling: Literal["pooled", "last_token"] = "pooled"
    classifier_activation: Literal["none", "relu"] = "none"
    classifier_bias: bool = True
    num_labels: int | None = None
    id2label: dict[int, str] | None = None
    max_relative_position: int = 64
    fit: Literal["none", "shared", "per_layer", "both"] = "none"
    fit_size: int | None = None

    def __post_init__(self) -> None:
        require_positive(
            self, "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "max_relative_position"
        )
        if self.hidden_size % self.num_attention_heads:
            raise ConfigError(
                f"hidden_size {self.hidden_size} must be a multiple of num_attention_heads {self.num_attention_heads}"
            )
        if self.max_relative_position > MOST_DISTANCES:
            raise ConfigError(f"max_relative_position: expected at most {MOST_DISTANCES}")
        if self.layer_norm_eps <= 0:
            raise ConfigError(f"layer_norm_eps: expected a positive number, got {self.layer_norm_eps}")

    @property
    def classes(self) -> int | None:
        """How many there are; None = the file does not say."""
        return len(self.id2label) if self.id2label else self.num_labels

    def facts(self, name: str, kind: str, *, prefix: str) -> HeadFacts:
        """A head with these settings, and two classes where they are not said."""
        return HeadFacts(
            name=name,
            kind=kind,
            prefix=prefix,
            classes=self.classes or 2,
            pooling=self.classifier_pooling,
            activation=self.classifier_activation,
            bias=self.classifier_bias,
            transform=self.language_model_transform,
            tied=self.tie_word_embeddings,
            fit=self.fit,
            fit_size=self.fit_size,
        )


# A number that no tensor confirms, and that would fill memory.
MOST_DISTANCES = 2**16

_ACTIVATIONS = {
    "gelu_erf": "gelu",
    "gelu_python": "gelu",
    "gelu_pytorch_tanh": "gelu_new",
    "gelu_tanh": "gelu_new",
    "swish": "silu",
}

# Keys that ask for another model unless they have one of these values.
_ONLY: dict[str, tuple[Any, ...]] = {
    "add_cross_attention": (False,),
    "position_embedding_type": ("absolute", None),
    "summary_type": ("cls_index",),
    "summary_use_proj": (True,),
    "summary_proj_to_labels": (True,),
    "summary_activation": (None,),
    "pruned_heads": ({}, None),
}


@dataclass(frozen=True, kw_only=True)
class FamilyKeys:
    """What is special about one family's files.

    names: of its tensors. keys: their key -> ours. defaults: what a file that says nothing means.
    activations: what hidden_act means where it is not what it says.
    is_relative: True = NEZHA's attention, and no position table. norms_embeddings: True = embeddings have a norm.
    """

    names: Names
    keys: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    activations: Mapping[str, str] = field(default_factory=dict)
    is_relative: bool = False
    norms_embeddings: bool = True


FAMILY_KEYS = {
    "bert": FamilyKeys(names=ENCODER),
    "nezha": FamilyKeys(names=ENCODER, is_relative=True),
    "tinybert": FamilyKeys(names=ENCODER, defaults={"classifier_activation": "relu"}),
    "openai-gpt": FamilyKeys(
        names=DECODER,
        keys={
            "n_embd": "hidden_size",
            "n_layer": "num_hidden_layers",
            "n_head": "num_attention_heads",
            "n_positions": "max_position_embeddings",
            "afn": "hidden_act",
            "layer_norm_epsilon": "layer_norm_eps",
        },
        defaults={
            "hidden_act": "gelu_new",
            "layer_norm_eps": 1e-5,
            "type_vocab_size": 0,
            "attention_pattern": "causal",
            "language_model_transform": False,
            "pad_token_id": None,
            "classifier_pooling": "last_token",
            "classifier_bias": False,
        },
        activations={"gelu": "gelu_new"},  # the tanh form, in files of this family alone
        norms_embeddings=False,
    ),
}
"""By model_type."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A row of the list of heads in config.json: a head that is stored, and in what its settings differ."""

    name: str
    kind: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    shared_with: str | None = None


@dataclass(frozen=True)
class ConfigFile:
    """config.json, read. plans: its list of heads; () = it has none."""

    path: Path
    family: FamilyKeys
    settings: Settings
    plans: tuple[Plan, ...]

    def settings_of(self, plan: Plan) -> Settings:
        """Those of the file with what a plan changes. Raises ConfigError for options that nobody knows."""
        return self._changed(dict(plan.options), source=f"{self.path}: head {plan.name!r}")

    def _changed(self, options: dict[str, Any], *, source: str) -> Settings:
        if "labels" in options:
            options["id2label"] = dict(enumerate(options.pop("labels") or ())) or None
        elif "num_labels" in options:
            options["id2label"] = None
        fields = [one.name for one in dataclasses.fields(Settings)]
        known = {name: value for name, value in options.items() if name not in _TRAINING_OPTIONS}
        values = {name: getattr(self.settings, name) for name in fields}
        return from_dict(Settings, values | known, source=source)


# Options of heads that change nothing once training is over.
_TRAINING_OPTIONS = ("dropout", "classifier_dropout", "problem_type", "summary_dropout")


def read_config(folder: Path) -> ConfigFile:
    """config.json of a folder. Raises ConfigError naming the file and field, CheckpointError for other layouts."""
    path = folder / FILE
    if not path.is_file():
        raise CheckpointError(f"{folder}: has no {FILE}: the numpy backend reads folders as plm convert writes them")
    raw = read_json(path)
    if isinstance(exported := raw.get("exported"), Mapping):
        raise CheckpointError(f"{folder}: was exported for another backend: load it with {exported.get('backend')!r}")
    family = FAMILY_KEYS.get(str(raw.get("model_type")))
    if family is None:
        named, known = raw.get("model_type"), ", ".join(map(repr, FAMILY_KEYS))
        raise ConfigError(
            f"{path}: model_type {named!r} is not one of {known}{did_you_mean(str(named), FAMILY_KEYS)}; folders of "
            f"other layouts are converted first (plm convert {folder} DESTINATION)"
        )
    for key, allowed in _ONLY.items():
        if key in raw and raw[key] not in allowed:
            raise ConfigError(f"{path}: {key}: only {allowed[0]!r} is known here, got {raw[key]!r}")
    values = _values(raw, family)
    plans = raw.get("heads")
    return ConfigFile(path, family, from_dict(Settings, values, source=str(path)), _plans(plans, path))


def _values(raw: Mapping[str, Any], family: FamilyKeys) -> dict[str, Any]:
    """Values by the names of Settings; keys of training and of other libraries are left behind."""
    fields = {one.name for one in dataclasses.fields(Settings)}
    ours = {family.keys.get(key, key): value for key, value in raw.items()}
    values = {**family.defaults, **{name: value for name, value in ours.items() if name in fields}}
    if raw.get("is_decoder") is True and "attention_pattern" not in raw:
        values["attention_pattern"] = "causal"
    if isinstance(named := values.get("hidden_act"), str) and "hidden_act" in ours:
        named = family.activations.get(named, named)
        values["hidden_act"] = _ACTIVATIONS.get(named, named)
    return values


def _plans(listed: Any, path: Path) -> tuple[Plan, ...]:
    if not isinstance(listed, list):
        return ()
    rows = [row if isinstance(row, Mapping) else {} for row in listed]
    return tuple(from_dict(Plan, row, source=f"{path}: heads[{number}]") for number, row in enumerate(rows))
