"""Several heads on one backbone: what each of them is, and which are one and the same.

heads = {
    "intent": HeadPlan("sequence_classification", {"labels": ("flight", "fare")}),
    "slots": HeadPlan("token_classification", {"labels": ("O", "B-city"), "dropout": 0.2}),
    "old_intent": HeadPlan(shared_with="intent"),
}
model = build_model(config, heads)
model(**batch, head="slots")
model.predict_heads(**batch)["intent"].logits
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from plm.config import from_dict
from plm.errors import ConfigError, did_you_mean
from plm.heads.head import HEADS
from plm.models.config import ModelConfig, default_labels

# Fields of a config that belong to the backbone, of which there is one: no head can have its own.
OF_THE_BACKBONE = frozenset(
    (
        "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_act",
        "hidden_dropout_prob", "attention_probs_dropout_prob", "max_position_embeddings", "type_vocab_size",
        "initializer_range", "layer_norm_eps", "norm", "attention_pattern", "pad_token_id",
    )
)  # fmt: skip

# More classes than anybody has: a hostile number must not fill memory with their names.
MOST_LABELS = 1_000_000

# The names of heads stand in names of files, which most systems limit to 255 bytes.
LONGEST_NAME = 50


@dataclass(frozen=True)
class HeadPlan:
    """What one head of a model is.

    kind: a name in HEADS; None for a head that is shared.
    options: fields of ModelConfig that hold for this head alone, besides them `labels` (names of the classes, in
        order), `num_labels` (how many, without names) and `dropout` (classifier_dropout).
    shared_with: name of another head that this one really is: one module, one set of parameters, two names.
    """

    kind: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    shared_with: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if (self.kind is None) == (self.shared_with is None):
            raise ConfigError(f"a head needs a kind (known: {', '.join(HEADS)}) or another head to be shared with")
        if self.shared_with is not None and self.options:
            raise ConfigError(f"a head shared with {self.shared_with!r} has its options: leave options out")


Plans = Mapping[str, HeadPlan]


def settle(config: ModelConfig, plans: Plans) -> tuple[ModelConfig, dict[str, HeadPlan]]:
    """The config that the first head sees, and all plans with their options relative to it.

    The first head speaks for the model: its labels are `model.config.labels`, as if it were alone. The options of
    another head are then the fields in which its own config differs. Both are what they were when settled again.
    Raises ConfigError naming the head: a name that no module can have, an option that is unknown or of the backbone, a
    value of the wrong type, a head to share with that is not there, or is itself shared.
    """
    configs = {name: _config_of(name, plan, config) for name, plan in plans.items() if plan.kind is not None}
    for name, plan in plans.items():
        _check_name(name)
        if plan.shared_with is not None and plan.shared_with not in configs:
            hint = did_you_mean(plan.shared_with, configs)
            raise ConfigError(f"head {name!r}: shared with {plan.shared_with!r}, which is no head of its own{hint}")
    first = next(iter(plans.values()), None)
    if first is None:
        return config, {}
    if first.kind is None:
        raise ConfigError(f"the first head cannot be one shared with {first.shared_with!r}: name that one first")
    spoken = next(iter(configs.values()))
    settled = {name: HeadPlan(plan.kind, _differences(configs[name], spoken)) if plan.kind is not None else plan
               for name, plan in plans.items()}  # fmt: skip
    return spoken, settled


def build_heads(config: ModelConfig, plans: Plans) -> dict[str, nn.Module]:
    """The modules of settled plans, with uninitialised parameters; shared ones are the same object."""
    heads: dict[str, nn.Module] = {
        name: HEADS.get(plan.kind).build(config_for(config, plan))
        for name, plan in plans.items()
        if plan.kind is not None
    }
    return {name: heads[plan.shared_with or name] for name, plan in plans.items()}


def config_for(config: ModelConfig, plan: HeadPlan) -> ModelConfig:
    """What the head of a settled plan sees of its model's config."""
    return dataclasses.replace(config, **plan.options)


def _config_of(name: str, plan: HeadPlan, config: ModelConfig) -> ModelConfig:
    values = {one.name: getattr(config, one.name) for one in dataclasses.fields(config)}
    for option, value in plan.options.items():
        if option in OF_THE_BACKBONE and values[option] != value:
            raise ConfigError(f"head {name!r}: {option} belongs to the backbone, which all heads share")
        if option not in values and option not in _SPELLINGS:
            hint = did_you_mean(option, [*values, *_SPELLINGS])
            raise ConfigError(f"head {name!r}: unknown option {option!r}{hint}")
        values |= _SPELLINGS[option](value) if option in _SPELLINGS else {option: value}
    return from_dict(type(config), values, source=f"head {name!r}")


def _labels(names: Any) -> dict[str, Any]:
    listed = list(names) if isinstance(names, (list, tuple)) else names
    return {"id2label": dict(enumerate(listed)) if isinstance(listed, list) else listed}


def _num_labels(count: Any) -> dict[str, Any]:
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= MOST_LABELS:
        raise ConfigError(f"num_labels: expected an integer from 1 to {MOST_LABELS}, got {count!r}")
    return {"id2label": default_labels(count)}


def _dropout(share: Any) -> dict[str, Any]:
    return {"classifier_dropout": share}


# Options that are no fields, and the fields they mean.
_SPELLINGS = {"labels": _labels, "num_labels": _num_labels, "dropout": _dropout}


def _differences(config: ModelConfig, spoken: ModelConfig) -> dict[str, Any]:
    names = [one.name for one in dataclasses.fields(config)]
    return {name: getattr(config, name) for name in names if getattr(config, name) != getattr(spoken, name)}


def _check_name(name: str) -> None:
    """Heads are submodules, and their names stand in names of parameters, metrics and files."""
    if len(name) > LONGEST_NAME:
        raise ConfigError(
            f"head {name[:20] + '...'!r}: expected a name of up to {LONGEST_NAME} letters, got {len(name)}"
        )
    if not name or not f"_{name.replace('-', '_')}".isidentifier() or hasattr(nn.ModuleDict(), name):
        raise ConfigError(f"head {name!r}: a name has letters, digits, _ and -, and is no attribute of modules (type)")
