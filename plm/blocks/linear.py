"""Linear layers and embeddings that start empty, and weights kept in the layout of the CPU's matrix kernels.

The kernels of oneDNN read a weight in a blocked layout. The plain path converts it at every call, which costs most
where there are few rows: a single sentence, a decoding step. `pack` lets every `Linear` of a model keep a converted
copy. The copy is made at first use and is a cache in every respect: it is used only where the plain path would give
the same numbers and nobody asks for gradients, it is made anew when its weight has changed, and it is never saved
or copied. The one change that cannot be seen is a write through `weight.data` or a NumPy view: call `unpack` first.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn import functional as F

from plm.blocks.activations import ACTIVATIONS

# Activations that oneDNN applies while a result is still in registers: (attribute, algorithm) of its operator.
_EPILOGUES = {"gelu": ("gelu", "none"), "gelu_new": ("gelu", "tanh"), "relu": ("relu", "")}
_NO_EPILOGUE = ("none", "")

# With fewer float32 rows, one thread is faster through the matrix-vector kernels behind F.linear.
_FEW_ROWS = 4

# Rows that the blocked layout is made for. Measured, it serves 1 to 8,192 rows alike.
_TYPICAL_ROWS = 1024


@dataclass(frozen=True)
class _Packed:
    """A converted copy of the weights of one Linear, or of several one below the other.

    held: aliases of the parameters. They keep the memory alive, so that an equal address means the same memory.
    """

    weight: Tensor
    bias: Tensor | None
    held: tuple[Tensor, ...]
    versions: tuple[int, ...]

    @classmethod
    def of(cls, linears: Sequence[Linear]) -> _Packed:
        parameters = _parameters(linears)
        weights = [linear.weight.detach() for linear in linears]
        biases = [linear.bias.detach() for linear in linears if linear.bias is not None]
        weight = weights[0] if len(weights) == 1 else torch.cat(weights)
        bias = torch.cat(biases) if len(biases) > 1 else (biases[0] if biases else None)
        return cls(
            weight=torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), _TYPICAL_ROWS),
            bias=bias,
            held=tuple(parameter.detach() for parameter in parameters),
            versions=tuple(parameter._version for parameter in parameters),
        )

    def fits(self, parameters: Sequence[Tensor]) -> bool:
        """True while every parameter is the same memory, read the same way, and was not written to."""
        return len(parameters) == len(self.held) and all(
            held.is_set_to(parameter) and version == parameter._version
            for held, version, parameter in zip(self.held, self.versions, parameters, strict=True)
        )

    def takes(self, hidden: Tensor) -> bool:
        """True when the operator takes this input, and is not the slower way."""
        first = self.held[0]
        return (
            type(hidden) is Tensor
            and hidden.dtype == first.dtype
            and hidden.device.type == "cpu"
            and hidden.shape[-1:] == first.shape[-1:]
            and hidden.numel() >= (hidden.shape[-1] * _FEW_ROWS if _prefers_vectors(hidden) else 1)
        )

    def __call__(self, hidden: Tensor, epilogue: tuple[str, str]) -> Tensor:
        attribute, algorithm = epilogue
        result: Tensor = torch.ops.mkldnn._linear_pointwise(hidden, self.weight, self.bias, attribute, [], algorithm)
        return result


class Linear(nn.Linear):
    """nn.Linear that leaves its memory as it finds it: initialise it, or load a checkpoint.

    Building a model that is about to be loaded so costs neither time nor memory.
    """

    # Converted copies by the number of Linears in them; None = not wanted (see `pack`).
    _packs: dict[int, _Packed] | None = None

    def reset_parameters(self) -> None:
        """Do nothing."""

    def forward(self, input: Tensor) -> Tensor:
        """input: (..., in_features). Returns (..., out_features)."""
        packed = _packed_for(input, (self,))
        return F.linear(input, self.weight, self.bias) if packed is None else packed(input, _NO_EPILOGUE)

    def train(self, mode: bool = True) -> Linear:
        """As nn.Module.train; training needs no converted copies, so they are dropped."""
        if mode:
            self._drop_packs()
        return super().train(mode)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Linear:
        self._drop_packs()
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def _drop_packs(self) -> None:
        if self._packs:
            self._packs = {}

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        if state.get("_packs"):
            state["_packs"] = {}
        return state


class Embedding(nn.Embedding):
    """nn.Embedding that leaves its memory as it finds it: initialise it, or load a checkpoint."""

    def reset_parameters(self) -> None:
        """Do nothing."""


def pack(module: nn.Module) -> int:
    """Let every Linear in `module` keep its weight in the layout of the CPU's matrix kernels.

    Costs the memory of one more copy of these weights, from first use on. Returns how many Linears it applies to: 0
    where the machine or the dtype has no such layout (float32 and bfloat16 on CPUs that oneDNN supports have).
    """
    wanted = [
        part
        for part in module.modules()
        if type(part) is Linear and part.weight.device.type == "cpu" and packing_supported(part.weight.dtype)
    ]
    for linear in wanted:
        linear._packs = {}
    return len(wanted)


def unpack(module: nn.Module) -> None:
    """Undo `pack`."""
    for part in module.modules():
        if isinstance(part, Linear):
            part._packs = None


def project(hidden: Tensor, linears: Sequence[Linear]) -> tuple[Tensor, ...]:
    """Several Linears of one input, as one product where they are packed.

    hidden: (..., in_features). Returns one (..., out_features) for each Linear; they may be views of one tensor.
    """
    joint = getattr(linears[0], "joint", None)
    if joint is not None and all(type(linear) is type(linears[0]) for linear in linears):
        return torch.split(joint(hidden, linears), [linear.out_features for linear in linears], dim=-1)
    packed = None if any(map(_has_hooks, linears)) else _packed_for(hidden, linears)
    if packed is None:
        return tuple(linear(hidden) for linear in linears)
    return torch.split(packed(hidden, _NO_EPILOGUE), [linear.out_features for linear in linears], dim=-1)


def project_activated(hidden: Tensor, linear: Linear, activation: str) -> Tensor:
    """activation(linear(hidden)), in one operator where the Linear is packed.

    activation: a name in ACTIVATIONS.
    """
    epilogue = _EPILOGUES.get(activation)
    packed = None if epilogue is None or _has_hooks(linear) else _packed_for(hidden, (linear,))
    if packed is None or epilogue is None:
        return ACTIVATIONS.get(activation)(linear(hidden))
    return packed(hidden, epilogue)


def _has_hooks(linear: nn.Module) -> bool:
    """True when somebody wants to see the module called."""
    return bool(linear._forward_hooks or linear._forward_pre_hooks)


def _prefers_vectors(hidden: Tensor) -> bool:
    return hidden.dtype == torch.float32 and torch.get_num_threads() == 1


@functools.cache
def packing_supported(dtype: torch.dtype) -> bool:
    """True when this build of torch on this machine can multiply with converted weights of `dtype`."""
    if dtype not in (torch.float32, torch.bfloat16):
        return False
    try:
        if dtype == torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
            return False
        ones = torch.ones(16, 16, dtype=dtype, device="cpu")
        weight = torch.ops.mkldnn._reorder_linear_weight(ones, _TYPICAL_ROWS)
        product = torch.ops.mkldnn._linear_pointwise(ones, weight, None, "none", [], "")
    except (AttributeError, RuntimeError):  # a torch without these operators, or without oneDNN
        return False
    return bool((product == 16).all())


def _packed_for(hidden: Tensor, linears: Sequence[Linear]) -> _Packed | None:
    """The converted copy that may stand in for the modules in this call, made now if need be; None = plain path."""
    if torch.compiler.is_compiling():
        return None
    packs = getattr(linears[0], "_packs", None)  # others may have put a module of another kind in its place
    if packs is None or _is_observed():
        return None
    parameters = _parameters(linears)
    if torch.is_grad_enabled() and (hidden.requires_grad or any(held.requires_grad for held in parameters)):
        return None
    packed: _Packed | None = packs.get(len(linears))
    if packed is None or not packed.fits(parameters):
        if not _packable(linears):
            return None
        packed = packs[len(linears)] = _Packed.of(linears)
    return packed if packed.takes(hidden) and not any(linear.training for linear in linears) else None


def _packable(linears: Sequence[Linear]) -> bool:
    """True when all are to be packed, and are alike: parameters on the CPU, of one dtype with a blocked layout."""
    first = linears[0].weight
    return (
        all(type(linear) is Linear and linear._packs is not None and not linear.training for linear in linears)
        and all(
            type(parameter) is nn.Parameter
            and parameter.dtype == first.dtype
            and parameter.device.type == "cpu"
            and not parameter.is_inference()  # writes to inference tensors leave no trace
            for parameter in _parameters(linears)
        )
        and len({(linear.bias is None, linear.in_features) for linear in linears}) == 1
        and packing_supported(first.dtype)
    )


def _is_observed() -> bool:
    """True where torch does more than compute: autocast, tracing, function transforms, modes that count operators."""
    return bool(
        torch.is_autocast_enabled("cpu")
        or torch._C._get_tracing_state() is not None
        or torch._C._are_functorch_transforms_active()
        or torch._C._len_torch_dispatch_stack()
        or forward_ad._current_level >= 0
    )


def _parameters(linears: Sequence[Linear]) -> list[Tensor]:
    # Through the dictionary: attribute access of modules is slow enough to show in a decoding step.
    return [parameter for linear in linears for parameter in linear._parameters.values() if parameter is not None]
