"""Linear layers with weights of eight bits, for CPUs: a quarter of the memory to read, and products of bytes.

Weights are rounded once, symmetrically, with a scale for each output (127 steps to the largest). Inputs are rounded at
each call, with one scale and zero point for all of them, over their range; sums are exact, and results float32. That is
what torch's dynamic quantization does, whose kernels are used: FBGEMM's for few rows, oneDNN's for many, which know the
tiles of newer CPUs. For inference alone.
"""

from __future__ import annotations

import functools
import threading
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from plm.blocks.linear import Linear
from plm.errors import BackendUnavailable

STEPS = 127

# Rows from which oneDNN's kernels are faster: up to twice with the tiles of AMX, and level before.
_MANY_ROWS = 12

_PACKING = threading.Lock()


class Int8Linear(nn.Module):
    """A Linear whose weight is held in eight bits.

    weight: (out_features, in_features), int8. weight_scale: (out_features,), float32: their product is what the layer
    stands for. bias: (out_features,), float32, or None. At first use the weight moves into the layout of the kernels,
    once for few rows and once for many, and comes back when it is saved, copied or moved. Raises BackendUnavailable
    where torch has no kernels.
    """

    weight: Tensor | None
    weight_scale: Tensor
    bias: Tensor | None

    def __init__(self, weight: Tensor, weight_scale: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        require_int8()
        self.out_features, self.in_features = weight.shape
        self.register_buffer("weight", weight)
        self.register_buffer("weight_scale", weight_scale)
        self.register_buffer("bias", bias)
        self._packed: dict[tuple[int, str], Any] = {}  # by number of joint layers, and kernels
        self._rows: tuple[Any, slice] | None = None  # where the weight is when it is not in `weight`

    @classmethod
    def of(cls, linear: nn.Linear) -> Int8Linear:
        """The rounded copy of a Linear."""
        weight = linear.weight.detach().float()
        scale = weight.abs().amax(dim=1).clamp(min=1e-12) / STEPS
        rounded = (weight / scale[:, None]).round_().clamp_(-STEPS, STEPS).to(torch.int8)
        return cls(rounded, scale, None if linear.bias is None else linear.bias.detach().float())

    @classmethod
    def like(cls, linear: nn.Linear) -> Int8Linear:
        """A layer of the same sizes, to be loaded: its numbers are whatever the memory holds."""
        weight, scale = torch.empty(linear.weight.shape, dtype=torch.int8), torch.empty(linear.out_features)
        return cls(weight, scale, None if linear.bias is None else torch.empty(linear.out_features))

    def forward(self, input: Tensor) -> Tensor:
        """input: (..., in_features), floating. Returns (..., out_features), float32."""
        return self.joint(input, (self,))

    def joint(self, input: Tensor, linears: Sequence[Int8Linear]) -> Tensor:
        """The results of several layers of one input, one behind the other: (..., sum of out_features)."""
        few, many = _engines()
        engine = many if input.numel() >= _MANY_ROWS * self.in_features else few
        packed = self._packed.get((len(linears), engine))
        if packed is None:
            packed = self._pack_with(linears, engine)
        # Without instructions that add four products at once, those of eight bits would overflow: inputs get seven.
        result: Tensor = torch.ops.quantized.linear_dynamic(input.float(), packed, not _has_wide_sums())
        return result

    def _pack_with(self, linears: Sequence[Int8Linear], engine: str) -> Any:
        key = (len(linears), engine)
        with _PACKING:  # others may have come here at the same time
            if key not in self._packed:
                self._packed[key] = _pack(linears, engine)
            return self._packed[key]

    def keep_only(self, packed: Any, rows: slice) -> None:
        """Let the weight go: it is some rows of what the kernels read."""
        self._rows, self.weight = (packed, rows), None

    def numbers(self) -> Tensor:
        """The weight, read back from the kernels if they alone have it."""
        if self.weight is not None:
            return self.weight
        assert self._rows is not None, "a weight is let go for a packed one"
        packed, rows = self._rows
        unpacked: Tensor = torch.ops.quantized.linear_unpack(packed)[0].int_repr()[rows].clone()
        return unpacked

    def loose(self) -> None:
        """Take the weight back from the kernels."""
        self.weight = self.numbers()
        self._rows, self._packed = None, {}

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        self.loose()
        super()._save_to_state_dict(destination, prefix, keep_vars)

    def __getstate__(self) -> dict[str, Any]:
        self.loose()
        return dict(self.__dict__)

    def _apply(self, fn: Any, recurse: bool = True) -> Int8Linear:
        self.loose()
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self


def quantized(module: nn.Module, make: Callable[[nn.Linear], Int8Linear] = Int8Linear.of) -> nn.Module:
    """A module in which every Linear is an Int8Linear, and all else is shared with the given one.

    make: Int8Linear.like leaves the new layers empty, to be loaded.
    """
    return rebuilt(module, lambda part: make(part) if type(part) is Linear else part)


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
        packed = _packed_weight(ones, torch.ones(8), None, torch.backends.quantized.engine)
        product = torch.ops.quantized.linear_dynamic(torch.ones(1, 8), packed, False)
    except (AttributeError, RuntimeError):
        return False
    return bool((product - 8).abs().max() < 0.5)


def require_int8() -> None:
    """Raises BackendUnavailable where `int8_supported` says no."""
    if not int8_supported():
        raise BackendUnavailable("this torch has no kernels for eight bits on this machine: take float32 or bfloat16")


@functools.cache
def _engines() -> tuple[str, str]:
    """torch's names of the kernels for few and for many rows."""
    known, usual = torch.backends.quantized.supported_engines, torch.backends.quantized.engine
    few = "fbgemm" if "fbgemm" in known else usual
    return few, "onednn" if "onednn" in known and _has_wide_sums() else few


@functools.cache
def _has_wide_sums() -> bool:
    return bool(torch.cpu._is_vnni_supported())


def _pack(linears: Sequence[Int8Linear], engine: str) -> Any:
    biases = [linear.bias for linear in linears]
    bias = None if any(one is None for one in biases) else torch.cat([one for one in biases if one is not None])
    weight, scale = torch.cat([one.numbers() for one in linears]), torch.cat([one.weight_scale for one in linears])
    packed = _packed_weight(weight, scale, bias, engine)
    start = 0
    for linear in linears:
        if linear.weight is not None:
            linear.keep_only(packed, slice(start, start + linear.out_features))
        start += linear.out_features
    return packed


def _packed_weight(weight: Tensor, scale: Tensor, bias: Tensor | None, engine: str) -> Any:
    """engine: whose layout; torch knows it as a setting of the process, which is put back."""
    usual = torch.backends.quantized.engine
    zeros = torch.zeros(len(scale), dtype=torch.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tensors are called deprecated, the kernels that take them are not
        tensor = torch._make_per_channel_quantized_tensor(weight, scale.double(), zeros, 0)
        torch.backends.quantized.engine = engine
        try:
            return torch.ops.quantized.linear_prepack(tensor, bias)
        finally:
            torch.backends.quantized.engine = usual
