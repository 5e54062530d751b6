"""Optimizers, and which parameters they let decay."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from plm.errors import TrainingError
from plm.registry import Registry

ParameterGroup = dict[str, Any]
"""What torch's optimizers take: "params", "weight_decay" and, if it differs, "lr"."""

OPTIMIZERS: Registry[Callable[[list[ParameterGroup], float], Optimizer]] = Registry("optimizer")
"""(parameter groups, learning rate) -> optimizer."""

_FUSED_DEVICES = ("cpu", "cuda")


def build_optimizer(model: nn.Module, *, name: str, learning_rate: float, weight_decay: float) -> Optimizer:
    """The optimizer `name` in OPTIMIZERS for all trainable parameters of a model.

    Raises TrainingError when the model has none, UnknownNameError for an unknown name.
    """
    return OPTIMIZERS.get(name)(parameter_groups(model, weight_decay=weight_decay), learning_rate)


def parameter_groups(model: nn.Module, *, weight_decay: float) -> list[ParameterGroup]:
    """Trainable parameters in two groups: matrices, which decay, and vectors (biases, norms), which do not.

    Told by the number of dimensions, not by name, so that it holds for every model. Empty groups are left out.
    """
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not trainable:
        raise TrainingError("nothing to train: no parameter of the model has requires_grad=True")
    groups: list[ParameterGroup] = [
        {"params": [p for p in trainable if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trainable if p.ndim < 2], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def adamw(groups: list[ParameterGroup], learning_rate: float) -> Optimizer:
    """AdamW with bias correction, betas 0.9 and 0.999, eps 1e-8; as one fused kernel where torch has it."""
    devices = {parameter.device.type for group in groups for parameter in group["params"]}
    return AdamW(groups, lr=learning_rate, fused=devices <= set(_FUSED_DEVICES))


class BertAdam(Optimizer):
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
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update. A closure, which this optimizer has no use for, is an error."""
        if closure is not None:
            raise TrainingError("BertAdam takes no closure: compute the gradients first, then call step()")
        for group in self.param_groups:
            self._update([parameter for parameter in group["params"] if parameter.grad is not None], group)

    def _update(self, parameters: list[Tensor], group: ParameterGroup) -> None:
        if not parameters:
            return
        for parameter in parameters:
            if not self.state[parameter]:
                self.state[parameter] = {"m": torch.zeros_like(parameter), "v": torch.zeros_like(parameter)}
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        means = [self.state[parameter]["m"] for parameter in parameters]
        squares = [self.state[parameter]["v"] for parameter in parameters]
        beta1, beta2 = group["betas"]
        torch._foreach_lerp_(means, gradients, 1 - beta1)
        torch._foreach_mul_(squares, beta2)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - beta2)
        roots = torch._foreach_sqrt(squares)
        torch._foreach_add_(roots, group["eps"])
        updates = torch._foreach_div(means, roots)
        torch._foreach_add_(updates, parameters, alpha=group["weight_decay"])
        torch._foreach_add_(parameters, updates, alpha=-group["lr"])


OPTIMIZERS.add("adamw", adamw)
OPTIMIZERS.add("bert_adam", lambda groups, learning_rate: BertAdam(groups, lr=learning_rate))
