"""Dot-product attention over packed sequences on GPUs, in one kernel that knows where sequences end (FlashAttention).

torch offers it as `torch.nn.attention.varlen.varlen_attn`, without dropout; with dropout the operator below it is
called. Neither is there in every version of torch, nor on every GPU: `takes` tells, after a proof.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from plm.blocks.layout import Packed, Pattern, causal_allowed
from plm.blocks.proof import LIMITS, compare, proven, require_near

NAME = "attention over packed sequences (torch.nn.attention.varlen)"

DEVICES = ("cuda",)
DTYPES = (torch.float16, torch.bfloat16)

# What the kernel takes: multiples of 8, up to 256.
_SIZES = range(8, 257, 8)

# The small case: longer and shorter than a tile of the kernel, a single token, neighbours of equal length.
_LENGTHS = (150, 1, 7, 7, 64)
_HEADS = 2
_DROPOUT = 0.25


def takes(*, device: torch.device, dtype: torch.dtype, pattern: Pattern, head_size: int, dropout: float) -> bool:
    """True where `attend_varlen` computes such a batch, and has proven it in this process."""
    if device.type not in DEVICES or dtype not in DTYPES or pattern == "prefix" or head_size not in _SIZES:
        return False
    if varlen_function() is None:
        return False
    setting = (str(device), dtype, pattern, head_size, "dropout" if dropout else "no dropout")
    return proven(NAME, setting, partial(_check, device, dtype, pattern, head_size, with_dropout=bool(dropout)))


def attend_varlen(query: Tensor, key: Tensor, value: Tensor, layout: Packed, *, dropout: float) -> Tensor:
    """softmax(q k / sqrt(d)) v within each sequence of a layout whose pattern is "full" or "causal".

    query, key, value: (tokens, heads, head size), such as `takes` admits. Returns the same shape.
    dropout: in [0, 1), share of the probabilities set to zero; the bits follow from the device's default generator.
    """
    bounds, longest = layout.bounds, layout.longest
    if dropout:
        return _with_dropout(query, key, value, bounds, longest, dropout, layout.pattern == "causal")
    function = varlen_function()
    assert function is not None, "ask `takes` first"
    window = (-1, 0) if layout.pattern == "causal" else (-1, -1)
    context: Tensor = function(query, key, value, bounds, bounds, longest, longest, window_size=window)
    return context


@functools.cache
def varlen_function() -> Callable[..., Any] | None:
    """torch's function; None in versions without it."""
    try:
        found: Callable[..., Any] = importlib.import_module("torch.nn.attention.varlen").varlen_attn
    except (ImportError, AttributeError):
        return None
    return found


def _with_dropout(
    query: Tensor, key: Tensor, value: Tensor, bounds: Tensor, longest: int, dropout: float, is_causal: bool
) -> Tensor:
    """The operator that varlen_attn and nested tensors call; it has a gradient of its own."""
    context: Tensor = torch.ops.aten._flash_attention_forward(
        query, key, value, bounds, bounds, longest, longest, dropout, is_causal, False
    )[0]
    return context


def _check(device: torch.device, dtype: torch.dtype, pattern: Pattern, head_size: int, *, with_dropout: bool) -> None:
    if with_dropout:
        _check_dropout(device, dtype, pattern, head_size)
        return
    layout = Packed.from_lengths(_LENGTHS, pattern=pattern, device=device)
    compare(
        lambda query, key, value: attend_varlen(query, key, value, layout, dropout=0.0),
        lambda query, key, value: _plain(query, key, value, _LENGTHS, pattern),
        shape=(sum(_LENGTHS), _HEADS, head_size),
        device=device,
        dtype=dtype,
    )


def _check_dropout(device: torch.device, dtype: torch.dtype, pattern: Pattern, head_size: int) -> None:
    """The same bits twice: unit vectors as values show what survives, then context and gradients have to follow it."""
    lengths = (head_size, head_size // 2, 1)
    layout = Packed.from_lengths(lengths, pattern=pattern, device=device)

    def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        torch.manual_seed(0)
        return attend_varlen(query, key, value, layout, dropout=_DROPOUT)

    units = torch.eye(head_size).repeat(len(lengths), 1)[_places(lengths, head_size)]
    units = units[:, None].expand(-1, _HEADS, -1).contiguous()
    flat = torch.zeros(sum(lengths), _HEADS, head_size)
    shown = attend(*(part.to(device, dtype) for part in (flat, flat, units))).double().cpu()
    kept = (shown != 0).double() / (1.0 - _DROPOUT)
    # Equal scores have equal probabilities, so what survives weighs as if it had been uniform.
    uniform = _plain(flat.double(), flat.double(), units.double(), lengths, pattern)
    require_near("weights under dropout", shown, uniform * kept, limit=LIMITS[dtype])
    share = float((shown != 0).sum() / (uniform != 0).sum())
    require_near("share that survives dropout", torch.tensor(share), torch.tensor(1.0 - _DROPOUT), limit=0.15)
    compare(
        attend,
        lambda query, key, value: _plain(query, key, value, lengths, pattern, kept=kept),
        shape=(sum(lengths), _HEADS, head_size),
        device=device,
        dtype=dtype,
    )


def _places(lengths: Sequence[int], size: int) -> Tensor:
    """Rows of `size` a sequence that stand for its tokens."""
    return torch.cat([torch.arange(length) + size * number for number, length in enumerate(lengths)])


def _plain(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    lengths: Sequence[int],
    pattern: Pattern,
    *,
    kept: Tensor | None = None,
) -> Tensor:
    """Sequence by sequence, step by step. kept: (tokens, heads, longest), what probabilities are multiplied with."""
    weights = [None] * len(lengths) if kept is None else torch.split(kept, list(lengths))
    contexts = []
    for q, k, v, kept_here in zip(
        *(torch.split(part, list(lengths)) for part in (query, key, value)), weights, strict=True
    ):
        scores = torch.einsum("ihd,jhd->hij", q, k) / query.shape[-1] ** 0.5
        if pattern == "causal":
            scores = scores.masked_fill(~causal_allowed(len(q), len(k)), float("-inf"))
        probabilities = scores.softmax(-1)
        if kept_here is not None:
            probabilities = probabilities * kept_here[..., : len(k)].transpose(0, 1)
        contexts.append(torch.einsum("hij,jhd->ihd", probabilities, v))
    return torch.cat(contexts)
