"""Attention in which each key is seen from one stretch of queries, without a matrix of scores: torch's flex_attention.

Its kernels are made by torch.compile at first use; blocks of scores in which no key is seen are not computed.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

_MODULE = "torch.nn.attention.flex_attention"

# Near and far keys, with and without masks and gradients, each dtype, and sizes that happen to be equal.
_MOST_PROGRAMS = 64


@dataclass(frozen=True, eq=False)
class Windows:
    """Which queries see a key: those from `first` to `last`, each (keys,), int64. queries: how many there are.

    Both are tensors, so that a program compiled for one length serves all.
    """

    first: Tensor
    last: Tensor
    queries: int

    @cached_property
    def blocks(self) -> Any:
        """The blocks of scores in which some key is seen, a BlockMask."""
        first, last = self.first, self.last

        def sees(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            return (first[key] <= query) & (query <= last[key])

        # One kind of blocks, whatever the length: another kind would be another program.
        options = {"device": str(first.device), "separate_full_blocks": False}
        with torch.inference_mode(False):  # it is kept, and may be used in training next
            return _flex().create_block_mask(sees, None, None, self.queries, len(first), **options)


def has_windows() -> bool:
    """True where this version of torch has flex_attention with log-sums."""
    try:
        return hasattr(_flex(), "AuxRequest")
    except ImportError:
        return False


def attend_in_windows(
    query: Tensor, key: Tensor, value: Tensor, windows: Windows, live: Tensor | None, scale: float
) -> tuple[Tensor, Tensor]:
    """Context, (batch, heads, queries, size of values), and log-sums of exp(scores), (batch, heads, queries).

    query, key, value: (batch, heads, length, size). live: (batch, keys), bool, keys that are seen at all; None = all.
    Rows that see nothing are 0, with -inf for the log-sum. Both results have gradients, except on CPUs.
    """
    attend = window_program() if query.device.type == "cpu" else _compiled()
    context, sums = attend(query, key, value, windows.blocks, live, scale)
    return context, sums


def window_program() -> Callable[..., tuple[Tensor, Tensor]]:
    """What is compiled: as `attend_in_windows`, with `Windows.blocks` in place of the windows."""
    flex, with_sums = _flex().flex_attention, _flex().AuxRequest(lse=True)  # imports cannot be compiled

    def attend(
        query: Tensor, key: Tensor, value: Tensor, blocks: Any, live: Tensor | None, scale: float
    ) -> tuple[Tensor, Tensor]:
        hide = None
        if live is not None:

            def hide(score: Tensor, batch: Tensor, head: Tensor, row: Tensor, column: Tensor) -> Tensor:
                return torch.where(live[batch, column], score, -float("inf"))

        context, others = flex(query, key, value, score_mod=hide, block_mask=blocks, scale=scale, return_aux=with_sums)
        return context, others.lse

    return attend


@functools.cache
def _compiled() -> Callable[..., tuple[Tensor, Tensor]]:
    """With sizes left open: few programs serve all lengths and batches."""
    compile_with: Any = torch.compile  # no version of torch but the newest takes a limit of its own
    compiled: Callable[..., tuple[Tensor, Tensor]] = compile_with(
        window_program(), dynamic=True, recompile_limit=_MOST_PROGRAMS
    )
    return compiled


@functools.cache
def _flex() -> Any:
    return importlib.import_module(_MODULE)
