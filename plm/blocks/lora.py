"""LoRA: Linears that learn a low-rank addition to a weight which stays as it is.

    output = x W + b + alpha / rank * dropout(x) A B

A starts random, as in PEFT, and B at 0, so that a model with new adapters computes what it did without. Names of base
weights do not change: `query.lora_a` and `query.lora_b` stand beside `query.weight`. Source: Hu et al. 2022.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from plm.blocks.linear import Linear
from plm.config import require_positive, require_probability
from plm.errors import ConfigError, did_you_mean

ADAPTER_NAMES = ("lora_a", "lora_b")


@dataclass(frozen=True, kw_only=True)
class LoraConfig:
    """Which Linears get an adapter, and of what kind.

    rank: rows of A. alpha: the addition counts alpha / rank times. dropout: of the adapter's input, in training.
    targets: globs of module names, as in `model.named_modules()`; `*` stands for anything, dots included.
    trained: globs of parameter names that go on learning beside the adapters and are saved with them; None = all under
        `heads.`. A pooler that the base does not bring has to be named here, or it stays random.
    """

    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0
    targets: tuple[str, ...] = ("*.attention.query", "*.attention.value")
    trained: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        require_positive(self, "rank")
        require_probability(self, "dropout")
        if not 0.0 < self.alpha < math.inf:
            raise ConfigError(f"alpha: expected a positive number, got {self.alpha}")
        if not self.targets:
            raise ConfigError("targets: name at least one module, such as '*.attention.query'")


class LoraLinear(Linear):
    """A Linear with an adapter; shares the parameters of the one that it stands in for.

    lora_a: (rank, in_features), lora_b: (out_features, rank); in float32 at least, also beside 16-bit weights.
    It is never packed, alone or with others (plm.blocks.linear), and so always computes with its adapter.
    """

    def __init__(self, base: Linear, config: LoraConfig, *, generator: torch.Generator | None = None) -> None:
        super().__init__(base.in_features, base.out_features, base.bias is not None, device="meta")
        _take_place(self, base)
        self.rank, self.alpha, self.dropout = config.rank, config.alpha, config.dropout
        kind = torch.promote_types(base.weight.dtype, torch.float32)
        first = torch.empty(config.rank, base.in_features, dtype=kind, device=base.weight.device)
        bound = base.in_features**-0.5
        self.lora_a = nn.Parameter(first.uniform_(-bound, bound, generator=generator))
        self.lora_b = nn.Parameter(first.new_zeros(base.out_features, config.rank))

    def forward(self, input: Tensor) -> Tensor:
        """input: (..., in_features). Returns (..., out_features)."""
        plain = F.linear(input, self.weight, self.bias)
        dropped = F.dropout(input, self.dropout, self.training)
        low = F.linear(dropped.to(self.lora_a.dtype), self.lora_a)
        return plain + (self.alpha / self.rank * F.linear(low, self.lora_b)).to(plain.dtype)

    @torch.no_grad()
    def merged(self) -> Linear:
        """A Linear with new memory that computes the same, but for rounding, at the cost of a plain one."""
        addition = self.alpha / self.rank * (self.lora_b @ self.lora_a)
        linear = Linear(self.in_features, self.out_features, self.bias is not None, device="meta")
        _take_place(linear, self)
        weight = (self.weight.to(addition.dtype) + addition).to(self.weight.dtype)
        linear.weight = nn.Parameter(weight, requires_grad=self.weight.requires_grad)
        return linear

    def extra_repr(self) -> str:
        """For print(model)."""
        return f"{super().extra_repr()}, rank={self.rank}, alpha={self.alpha:g}, dropout={self.dropout:g}"


def add_lora(model: nn.Module, config: LoraConfig, *, generator: torch.Generator | None = None) -> list[str]:
    """Give Linears of a model adapters, and freeze everything else but `config.trained`.

    generator: draws A; None = torch's own. Returns the names of the modules with adapters.
    Raises ConfigError, with the model untouched, when a pattern fits nothing, when it has adapters already, and when
    one of the Linears shares its weight with another module, which would not learn with it.
    """
    if held := adapters(model):
        raise ConfigError(f"the model has adapters already, the first at {next(iter(held))}: merge them first")
    linears = {name: part for name, part in model.named_modules() if isinstance(part, Linear)}
    chosen = fitting(config.targets, linears, field="targets")
    _refuse_shared(model, {name: linears[name] for name in chosen})
    parameters = dict(model.named_parameters())
    trained = [name for name in parameters if name.startswith("heads.")]
    if config.trained is not None:
        trained = fitting(config.trained, parameters, field="trained")
    for name, parameter in parameters.items():
        parameter.requires_grad_(name in trained)
    for name in chosen:
        linears[name].weight.requires_grad_(False)  # also in a head that is trained otherwise
        model.set_submodule(name, LoraLinear(linears[name], config, generator=generator))
    return chosen


def merge_lora(model: nn.Module) -> dict[str, LoraLinear]:
    """Put plain Linears that compute the same in place of all adapters.

    Returns the modules taken out, by name: `unmerge_lora` puts them back; when they are let go, so is their memory.
    Base weights stay frozen. Raises ConfigError when the model has no adapters.
    """
    taken = adapters(model)
    if not taken:
        raise ConfigError("the model has no adapters to merge")
    for name, linear in taken.items():
        model.set_submodule(name, linear.merged())
    return taken


def unmerge_lora(model: nn.Module, taken: Mapping[str, LoraLinear]) -> None:
    """Undo `merge_lora` bit by bit; what the merged weights learned since is lost. taken: what it returned."""
    for name, linear in taken.items():
        model.set_submodule(name, linear.train(model.get_submodule(name).training))


def adapters(model: nn.Module) -> dict[str, LoraLinear]:
    """All modules with an adapter, by name."""
    return {name: part for name, part in model.named_modules() if isinstance(part, LoraLinear)}


def fitting(patterns: Iterable[str], names: Iterable[str], *, field: str) -> list[str]:
    """The names that fit one of the patterns, in order.

    field: of the config, for messages. Raises ConfigError for a pattern that fits none, with the nearest name.
    """
    names = list(names)
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            few = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
            raise ConfigError(f"{field}: {pattern!r} fits nothing{did_you_mean(pattern, names)} (there are: {few})")
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]


def _take_place(linear: Linear, base: Linear) -> None:
    """Give a Linear the parameters, the mode and the wish to be packed of another one."""
    linear.weight, linear.bias = base.weight, base.bias
    linear.training = base.training
    linear._packs = None if base._packs is None else {}


def _refuse_shared(model: nn.Module, linears: Mapping[str, Linear]) -> None:
    owners: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        owners.setdefault(id(parameter), []).append(name)
    for name, linear in linears.items():
        held = owners[id(linear.weight)]
        if len(held) > 1:
            raise ConfigError(f"targets: {name} shares its weight ({', '.join(held)}), which an adapter would untie")
