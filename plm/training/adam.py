"""Adam as Google's BERT and OpenAI's GPT-1 run it, and the running means that it shares with LAMB."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from plm.errors import TrainingError

ParameterGroup = dict[str, Any]
"""What torch's optimizers take: "params", "weight_decay" and, if it differs, "lr"."""


@dataclass(frozen=True)
class Moments:
    """What is known about some parameters when they are about to move; lists of equal length.

    means, squares: running means of gradients and of their squares, shaped like the parameters.
    steps: updates that each parameter took part in, this one included, since the last restart.
    """

    parameters: list[Tensor]
    means: list[Tensor]
    squares: list[Tensor]
    steps: list[int]

    def corrections(self, beta: float) -> list[float]:
        """What running means that started at 0 have to be divided by: 1 - beta ** step."""
        return [1.0 - beta**step for step in self.steps]


class MomentOptimizer(Optimizer, ABC):
    """Base of optimizers that keep running means; final classes say how parameters move along them.

    Works on all tensors of a group at a time. The state of a parameter is three tensors, "step", "m" and "v", so that
    a run continued from a saved state goes on bit by bit as if it had never stopped.

    A group may have "restarts": after how many updates the steps are counted from 1 again, so that what corrects the
    bias of running means that start at 0 begins anew, while the means stay as they are.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[ParameterGroup],
        *,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of all parameters that have a gradient. A closure, for which there is no use, is an error."""
        if closure is not None:
            raise TrainingError(f"{type(self).__name__} takes no closure: compute gradients first, then call step()")
        moving = [
            (group, [parameter for parameter in group["params"] if parameter.grad is not None])
            for group in self.param_groups
        ]
        gradients = iter(self._prepared([parameter.grad for _, group in moving for parameter in group]))
        for group, parameters in moving:
            own = [next(gradients) for _ in parameters]
            if parameters:
                self._move(self._advance(parameters, own, group), group)

    @abstractmethod
    def _move(self, moments: Moments, group: ParameterGroup) -> None:
        """Change the parameters in place."""

    def _prepared(self, gradients: list[Tensor]) -> list[Tensor]:
        """The gradients of all groups as the running means shall see them; not changed in place."""
        return gradients

    def _average(self, means: list[Tensor], gradients: list[Tensor], beta: float) -> None:
        """Let running means take in new gradients."""
        torch._foreach_lerp_(means, gradients, 1 - beta)

    def _advance(self, parameters: list[Tensor], gradients: list[Tensor], group: ParameterGroup) -> Moments:
        states = [self._state_of(parameter) for parameter in parameters]
        steps, means, squares = ([state[name] for state in states] for name in ("step", "m", "v"))
        beta1, beta2 = group["betas"]
        torch._foreach_add_(steps, 1)
        self._average(means, gradients, beta1)
        torch._foreach_mul_(squares, beta2)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - beta2)
        restarts = (0, *group.get("restarts", ()))
        counted = [int(step) - max(start for start in restarts if start < step) for step in steps]
        return Moments(parameters, means, squares, counted)

    def _state_of(self, parameter: Tensor) -> dict[str, Tensor]:
        state: dict[str, Tensor] = self.state[parameter]
        if not state:
            # "step" stays on the CPU, also when torch loads a state, so that reading it waits for no device.
            state["step"] = torch.zeros((), dtype=torch.float32)
            state["m"] = torch.zeros_like(parameter)
            state["v"] = torch.zeros_like(parameter)
        return state


class BertAdam(MomentOptimizer):
    """AdamW without bias correction: early updates are up to three times as large. Google's and Huawei's optimizer.

    update = m / (sqrt(v) + eps) + weight_decay * p;  p -= lr * update
    Source: google-research/bert, optimization.py, AdamWeightDecayOptimizer.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[ParameterGroup],
        *,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def _move(self, moments: Moments, group: ParameterGroup) -> None:
        torch._foreach_add_(moments.parameters, directions(moments, group), alpha=-group["lr"])


class OpenAIAdam(MomentOptimizer):
    """AdamW as GPT-1 was trained with: the correction is in the learning rate, so that eps and decay feel it too.

    rate = lr * sqrt(1 - beta2 ** t) / (1 - beta1 ** t);  p -= rate * (m / (sqrt(v) + eps) + weight_decay * p)
    t counts from 1. Source: openai/finetune-transformer-lm, opt.py.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[ParameterGroup],
        *,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def _move(self, moments: Moments, group: ParameterGroup) -> None:
        first, second = (moments.corrections(beta) for beta in group["betas"])
        rates = [-group["lr"] * math.sqrt(late) / early for early, late in zip(first, second, strict=True)]
        updates = directions(moments, group)
        torch._foreach_mul_(updates, rates)
        torch._foreach_add_(moments.parameters, updates)


def directions(moments: Moments, group: ParameterGroup) -> list[Tensor]:
    """New tensors: mean / (sqrt(square) + eps) + weight_decay * parameter."""
    roots = torch._foreach_sqrt(moments.squares)
    torch._foreach_add_(roots, group["eps"])
    updates = torch._foreach_div(moments.means, roots)
    if group["weight_decay"]:
        torch._foreach_add_(updates, moments.parameters, alpha=group["weight_decay"])
    return list(updates)
