"""Which parameters are trained, how fast, and whether they decay: rules on their names and shapes.

Names are those of `model.named_parameters()`. The one convention about them is that of plm's models and of `depth`:
`backbone.embeddings.*`, then `backbone.blocks.0.*`, `backbone.blocks.1.*` and so on, then everything else (pooler,
final norm, heads). Patterns are globs as in `fnmatch`: `*` stands for anything, dots included.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import NamedTuple

from torch import nn

from plm.errors import TrainingError, did_you_mean
from plm.training.adam import ParameterGroup

# What wrappers of torch put in front of every name.
_WRAPPERS = ("module.", "_orig_mod.")


class _Place(NamedTuple):
    """What parameters of one group have in common. rate: learning rate; decay: weight decay."""

    rate: float
    decay: float


def parameter_groups(
    model: nn.Module,
    *,
    learning_rate: float,
    weight_decay: float,
    decay_vectors: bool = False,
    layer_decay: float = 1.0,
    learning_rates: Mapping[str, float] | None = None,
) -> list[ParameterGroup]:
    """Trainable parameters by learning rate and weight decay, in the order in which the model holds the first of each.

    weight_decay: on matrices and embeddings, told by two or more dimensions, not by name, so that it holds for every
        model. decay_vectors: True = on biases and norms too (OpenAI's vector_l2).
    layer_decay: each block learns at this share of the rate of the next higher one; what lies above the last block
        learns at `learning_rate`, the embeddings one step below block 0. 1 = all alike.
    learning_rates: pattern -> learning rate, for parameters that shall have one of their own; the first pattern that
        fits counts, and layer_decay does not touch them.
    Every group holds "params", "lr" and "weight_decay". Raises TrainingError when nothing is trainable, when a pattern
    fits no parameter, and for layer_decay in a model without blocks.
    """
    named = {plain_name(name): held for name, held in model.named_parameters()}
    own_rates = learning_rates or {}
    require_matches(own_rates, named, field="learning_rates")
    top = 1 + max((depth(name, top=0) for name in named), default=0)
    if layer_decay != 1.0 and top == 1:
        raise TrainingError("layer_decay needs a model whose parameters are called backbone.blocks.0.* and so on")
    groups: dict[_Place, ParameterGroup] = {}
    for name, parameter in named.items():
        if not parameter.requires_grad:
            continue
        scaled = learning_rate * layer_decay ** (top - depth(name, top=top))
        rate = next((own for pattern, own in own_rates.items() if fnmatchcase(name, pattern)), scaled)
        place = _Place(rate, weight_decay if decay_vectors or parameter.ndim >= 2 else 0.0)
        group = groups.setdefault(place, {"params": [], "lr": place.rate, "weight_decay": place.decay})
        group["params"].append(parameter)
    if not groups:
        raise TrainingError("nothing to train: no parameter of the model has requires_grad=True")
    return list(groups.values())


def freeze(model: nn.Module, patterns: Collection[str]) -> list[str]:
    """Take requires_grad from parameters whose names fit a pattern, for good. Returns their names.

    Raises TrainingError when a pattern fits none.
    """
    named = {plain_name(name): held for name, held in model.named_parameters()}
    require_matches(patterns, named, field="freeze")
    frozen = [name for name in named if any(fnmatchcase(name, pattern) for pattern in patterns)]
    for name in frozen:
        named[name].requires_grad_(False)
    return frozen


def depth(name: str, *, top: int) -> int:
    """How high a parameter stands: embeddings 0, block n n + 1, everything else `top`. See the convention above."""
    part, _, rest = name.removeprefix("backbone.").partition(".")
    if part == "embeddings":
        return 0
    number = rest.partition(".")[0]
    return int(number) + 1 if part == "blocks" and number.isdecimal() else top


def plain_name(name: str) -> str:
    """A parameter's name without what DistributedDataParallel and torch.compile put in front."""
    while name.startswith(_WRAPPERS):
        name = name.partition(".")[2]
    return name


def require_matches(patterns: Iterable[str], names: Collection[str], *, field: str) -> None:
    """Raise TrainingError for a pattern that fits no parameter, naming the nearest one.

    field: of the config, for the message.
    """
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            near = did_you_mean(pattern, names) or did_you_mean(pattern, {f"{_stem(name)}.*" for name in names})
            few = ", ".join(sorted({_stem(name) for name in names})[:8])
            raise TrainingError(f"{field}: no parameter fits {pattern!r}{near} (there are, among others: {few})")


def _stem(name: str) -> str:
    """The module that holds a parameter."""
    return name.rpartition(".")[0] or name
