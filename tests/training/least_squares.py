"""The small problem on which the optimizers of Google and NVIDIA were run for their numbers."""

from __future__ import annotations

import torch
from torch import nn

from plm.training.adam import ParameterGroup


class LeastSquares(nn.Module):
    """A matrix, which decays, and a bias, which does not; in float64."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float64))
        self.bias = nn.Parameter(torch.tensor([0.1, -0.2], dtype=torch.float64))

    def groups(self) -> list[ParameterGroup]:
        """Parameters with and without decay."""
        return [{"params": [self.kernel], "weight_decay": 0.01}, {"params": [self.bias], "weight_decay": 0.0}]

    def differentiate(self, update: int) -> None:
        """New gradients."""
        self.zero_grad()
        inputs = torch.tensor([[1.0, 0.5], [-0.3, 0.7]], dtype=torch.float64) * (update + 1)
        ((inputs @ self.kernel + self.bias - 1) ** 2).mean().backward()

    def values(self) -> list[float]:
        """The matrix, then the bias."""
        return [*self.kernel.flatten().tolist(), *self.bias.tolist()]
