"""Linear layers with weights of eight bits, for CPUs: a quarter of the memory to read, and products of bytes.

Weights are rounded once, symmetrically, with a scale for each output (127 steps to the largest). Inputs are rounded at
each call, with one scale and zero point for all of them, over their range; sums are exact, and results float32. That is
what torch's dynamic quantization does, whose kernels (FBGEMM) are used. For inference alone.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from plm.blocks.linear import Linear
from plm.errors import BackendUnavailable

STEPS = 127


class Int8Linear(nn.Module):
    """A Linear whose weight is held in eight bits.

    weight: (out_features, in_features), int8. scale: (out_features,), float32: weight * scale is what it stands for.
    bias: (out_features,), float32, or None. Raises BackendUnavailable where torch has no kernels for it.
    """

    weight: Tensor
    scale: Tensor
    bias: Tensor | None

    def __init__(self, weight: Tensor, scale: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        require_int8()
        self.out_features, self.in_features = weight.shape
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale)
        self.register_buffer("bias", bias)
        self._packed: dict[int, Any] = {}

    @classmethod
    def of(cls, linear: nn.Linear) -> Int8Linear:
        """The rounded copy of a Linear."""
        weight = linear.weight.detach().float()
        scale = weight.abs().amax(dim=1).clamp(min=1e-12) / STEPS
        rounded = (weight / scale[:, None]).round_().clamp_(-STEPS, STEPS).to(torch.int8)
        return cls(rounded, scale, None if linear.bias is None else linear.bias.detach().float())

    def forward(self, input: Tensor) -> Tensor:
        """input: (..., in_features), floating. Returns (..., out_features), float32."""
        return self.joint(input, (self,))

    def joint(self, input: Tensor, linears: Sequence[Int8Linear]) -> Tensor:
        """The results of several layers of one input, one behind the other: (..., sum of out_features)."""
        packed = self._packed.get(len(linears))
        if packed is None:
            packed = self._packed[len(linears)] = _pack(linears)
        result: Tensor = torch.ops.quantized.linear_dynamic(input.float(), packed, False)
        return result

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_packed": {}}

    def _apply(self, fn: Any, recurse: bool = True) -> Int8Linear:
        self._packed = {}
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self


def quantized(module: nn.Module) -> nn.Module:
    """A module in which every Linear is an Int8Linear, and all else is shared with the given one."""
    return rebuilt(module, lambda part: Int8Linear.of(part) if type(part) is Linear else part)


def rebuilt(module: nn.Module, replace: Callable[[nn.Module], nn.Module]) -> nn.Module:
    """A module of the same parts, but for those for which `replace` gives others; parameters are shared.

    replace: part -> another part, or the same one. It is asked from the outside in.
    """
    new = replace(module)
    if new is not module:
        return new
    parts = {name: part if part is None else rebuilt(part, replace) for name, part in module._modules.items()}
    if all(part is module._modules[name] for name, part in parts.items()):
        return module
    clone: nn.Module = module.__class__.__new__(module.__class__)
    clone.__dict__ = {
        **module.__dict__,
        "_modules": parts,
        "_parameters": dict(module._parameters),
        "_buffers": dict(module._buffers),
    }
    return clone


@functools.cache
def int8_supported() -> bool:
    """True where this build of torch on this machine multiplies eight bits."""
    try:
        ones = torch.ones(8, 8, dtype=torch.int8)
        packed = _packed_weight(ones, torch.ones(8), None)
        product = torch.ops.quantized.linear_dynamic(torch.ones(1, 8), packed, False)
    except (AttributeError, RuntimeError):
        return False
    return bool((product - 8).abs().max() < 0.5)


def require_int8() -> None:
    """Raises BackendUnavailable where `int8_supported` says no."""
    if not int8_supported():
        raise BackendUnavailable("this torch has no kernels for eight bits on this machine: take float32 or bfloat16")


def _pack(linears: Sequence[Int8Linear]) -> Any:
    biases = [linear.bias for linear in linears]
    bias = None if any(one is None for one in biases) else torch.cat([one for one in biases if one is not None])
    weight, scale = (torch.cat([getattr(linear, name) for linear in linears]) for name in ("weight", "scale"))
    return _packed_weight(weight, scale, bias)


def _packed_weight(weight: Tensor, scale: Tensor, bias: Tensor | None) -> Any:
    zeros = torch.zeros(len(scale), dtype=torch.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tensors are called deprecated, the kernels that take them are not
        tensor = torch._make_per_channel_quantized_tensor(weight, scale.double(), zeros, 0)
        return torch.ops.quantized.linear_prepack(tensor, bias)
