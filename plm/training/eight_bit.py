"""AdamW whose moments take a byte a number, by torchao; read and written as plain tensors, as checkpoints want them."""

from __future__ import annotations

from typing import Any

import torch
from torch.optim import Optimizer

from plm.errors import optional_import
from plm.training.adam import ParameterGroup

EXTRA = "eight-bit"

# Tensors of the class that holds a moment; "signed" tells the first one, which may be negative, from the second.
_TENSORS = ("codes", "scale", "qmap")


def adamw_8bit(
    params: list[ParameterGroup], /, *, lr: float, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8
) -> Optimizer:
    """AdamW with both moments in blocks of 256 numbers of eight bits, each block with a scale of its own.

    Parameters of fewer than 4,096 numbers, or of none that 256 divides, keep moments in float32. The first step
    compiles a kernel: it takes some ten seconds, and on CPUs a C++ compiler. Source: Dettmers et al. 2021,
    https://arxiv.org/abs/2110.02861. Raises BackendUnavailable without torchao.
    """
    torchao = optional_import("torchao.optim", extra=EXTRA, purpose='optimizer = "adamw_8bit"')
    optimizer: Optimizer = torchao.AdamW8bit(params, lr=lr, betas=betas, eps=eps)
    _rates_as_numbers(optimizer)
    optimizer.register_step_pre_hook(lambda taken, *_: _rates_as_tensors(taken))
    optimizer.register_step_post_hook(lambda taken, *_: _rates_as_numbers(taken))
    optimizer.register_state_dict_post_hook(_opened)
    optimizer.register_load_state_dict_pre_hook(_closed)
    return optimizer


# torchao wants tensors, so that another rate compiles nothing anew; all others here, and checkpoints, want numbers.
def _rates_as_tensors(optimizer: Optimizer) -> None:
    for group in optimizer.param_groups:
        group["lr"] = torch.tensor(group["lr"], dtype=torch.float32)


def _rates_as_numbers(optimizer: Optimizer) -> None:
    for group in optimizer.param_groups:
        group["lr"] = float(group["lr"])


def _opened(optimizer: Optimizer, state_dict: dict[str, Any]) -> dict[str, Any]:
    """A state in which moments of eight bits are dicts of plain tensors."""
    state = {
        number: {name: _plain(value) for name, value in values.items()}
        for number, values in state_dict["state"].items()
    }
    return {**state_dict, "state": state}


def _closed(optimizer: Optimizer, state_dict: dict[str, Any]) -> dict[str, Any]:
    """The way back."""
    moment = optional_import("torchao.optim.subclass_8bit", extra=EXTRA, purpose="this checkpoint").OptimState8bit
    state = {
        number: {
            name: moment(*(value[part] for part in _TENSORS), value["signed"]) if isinstance(value, dict) else value
            for name, value in values.items()
        }
        for number, values in state_dict["state"].items()
    }
    return {**state_dict, "state": state}


def _plain(value: Any) -> Any:
    if not hasattr(value, "codes"):
        return value
    return {**{part: getattr(value, part) for part in _TENSORS}, "signed": value.signed}
