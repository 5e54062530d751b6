"""LAMB: Adam whose steps are as long as the weights they change, for very large batches."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

from plm.errors import TrainingError
from plm.training.adam import MomentOptimizer, Moments, ParameterGroup, directions

Trust = Literal["decayed", "all"]
TrustNorm = Literal["update", "nezha"]


class Lamb(MomentOptimizer):
    """update = m^ / (sqrt(v^) + eps) + weight_decay * p;  p -= lr * trust * update,  trust = |p| / |update|.

    Source: You et al. 2020, algorithm 2. Its many programs differ in what follows.
    bias_correction: True = m^ and v^ are divided by 1 - beta ** t, t from 1; False = they are m and v.
    grad_averaging: True = m takes in (1 - beta1) * gradient, False = the whole gradient.
    max_grad_norm: gradients are first divided by their norm over all parameters, in units of this one, where that is
        above 1; None = not.
    trust: which tensors have a trust ratio: "decayed" = those of groups with weight decay, so neither biases nor norms
        (NVIDIA, MLPerf); "all" = every tensor (You et al.).
    trust_bounds: the ratio is kept between these two; None = not. It is 1 where one of the norms is 0.
    trust_norm: "nezha" = the norm below the fraction is that of m^ / sqrt(v^ + eps) + weight_decay * p, with the decay
        of the decayed groups also for the others. Source: Huawei's NEZHA, optimization.py, LAMBOptimizer.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[ParameterGroup],
        *,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.01,
        bias_correction: bool = True,
        grad_averaging: bool = True,
        max_grad_norm: float | None = None,
        trust: Trust = "all",
        trust_bounds: tuple[float, float] | None = None,
        trust_norm: TrustNorm = "update",
    ) -> None:
        for name, value, choices in (("trust", trust, Trust), ("trust_norm", trust_norm, TrustNorm)):
            if value not in get_args(choices):
                raise TrainingError(f"{name}: {value!r} is not one of {', '.join(map(repr, get_args(choices)))}")
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)
        self.bias_correction, self.grad_averaging, self.max_grad_norm = bias_correction, grad_averaging, max_grad_norm
        self.trust, self.trust_bounds, self.trust_norm = trust, trust_bounds, trust_norm

    def _prepared(self, gradients: list[Tensor]) -> list[Tensor]:
        if self.max_grad_norm is None or not gradients:
            return gradients
        excess = (get_total_norm(gradients) / self.max_grad_norm).clamp(min=1.0)
        return list(torch._foreach_div(gradients, excess))

    def _average(self, means: list[Tensor], gradients: list[Tensor], beta: float) -> None:
        if self.grad_averaging:
            super()._average(means, gradients, beta)
        else:
            torch._foreach_mul_(means, beta)
            torch._foreach_add_(means, gradients)

    def _move(self, moments: Moments, group: ParameterGroup) -> None:
        if self.bias_correction:
            means, squares = (
                list(torch._foreach_div(held, moments.corrections(beta)))
                for held, beta in zip((moments.means, moments.squares), group["betas"], strict=True)
            )
            moments = replace(moments, means=means, squares=squares)
        updates = directions(moments, group)
        if self.trust == "all" or group["weight_decay"]:
            torch._foreach_mul_(updates, self._ratios(moments, updates, group))
        torch._foreach_add_(moments.parameters, updates, alpha=-group["lr"])

    def _ratios(self, moments: Moments, updates: list[Tensor], group: ParameterGroup) -> list[Tensor]:
        """Trust ratios, a scalar for each tensor."""
        measured = updates if self.trust_norm == "update" else self._nezha_directions(moments, group)
        weights, lengths = (torch._foreach_norm(tensors) for tensors in (moments.parameters, measured))
        ratios = []
        for weight, length in zip(weights, lengths, strict=True):
            ratio = torch.where((weight > 0) & (length > 0), weight / length, torch.ones_like(weight))
            ratios.append(ratio if self.trust_bounds is None else ratio.clamp(*self.trust_bounds))
        return ratios

    def _nezha_directions(self, moments: Moments, group: ParameterGroup) -> list[Tensor]:
        shifted = torch._foreach_add(moments.squares, group["eps"])
        torch._foreach_sqrt_(shifted)
        measured = torch._foreach_div(moments.means, shifted)
        decay = max(held["weight_decay"] for held in self.param_groups)
        torch._foreach_add_(measured, moments.parameters, alpha=decay)
        return list(measured)
