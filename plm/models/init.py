"""Random initialisation: the only place where parameters get their first values."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor, nn


def initialize(
    module: nn.Module,
    *,
    std: float,
    names: Collection[str] | None = None,
    generator: torch.Generator | None = None,
) -> list[str]:
    """Give parameters the values that BERT and GPT-1 start from.

    Matrices and embeddings: normal with mean 0 and deviation `std`. Vectors: 1 for weights (the scales of norms), 0
    for all others (biases, shifts).
    names: parameters to touch; None = all. Returns the names touched, in order.
    Sources: Devlin et al. 2019 (their cut at two deviations is left out), Radford et al. 2018.
    """
    touched = []
    with torch.no_grad():
        for prefix, part in module.named_modules():
            for name, parameter in part.named_parameters(recurse=False):
                full = f"{prefix}.{name}" if prefix else name
                if names is None or full in names:
                    _fill(parameter, is_weight=name == "weight", std=std, generator=generator)
                    touched.append(full)
    return touched


def _fill(parameter: Tensor, *, is_weight: bool, std: float, generator: torch.Generator | None) -> None:
    if parameter.dim() > 1:
        parameter.normal_(0.0, std, generator=generator)
    else:
        parameter.fill_(1.0 if is_weight else 0.0)
