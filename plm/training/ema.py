"""An average of the weights over the updates of a run, which often does better than the last ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from plm.errors import TrainingError


class ExponentialAverage:
    """average = d * average + (1 - d) * weights, after each update, for all trainable parameters of a model.

    decay: d once the run is long enough, in [0, 1); update n takes the smaller one of it and (1 + n) / (10 + n), so
        that an average does not cling to the weights that training began with.
    Averages are kept in at least 32 bits. Buffers are not averaged.
    Source: TensorFlow, tf.train.ExponentialMovingAverage with num_updates.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        if not 0.0 <= decay < 1.0:
            raise TrainingError(f"decay: expected a number in [0, 1), got {decay}")
        self.decay, self.updates = decay, 0
        self.parameters = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
        self.averages = {name: _widened(weight).clone() for name, weight in self.parameters.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights as they are now."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        weights = [_widened(weight) for weight in self.parameters.values()]
        torch._foreach_lerp_(list(self.averages.values()), weights, 1.0 - decay)

    @torch.no_grad()
    def apply(self) -> None:
        """Put the averages into the model, for good."""
        for name, weight in self.parameters.items():
            weight.copy_(self.averages[name])

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside, the model has the averages; afterwards its own weights again, bit for bit. Costs a copy of them."""
        own = [weight.detach().clone() for weight in self.parameters.values()]
        self.apply()
        try:
            yield
        finally:
            with torch.no_grad():
                for weight, value in zip(self.parameters.values(), own, strict=True):
                    weight.copy_(value)

    def state_dict(self) -> dict[str, Any]:
        """The averages by parameter name, and how many updates they have seen."""
        return {"updates": self.updates, "averages": dict(self.averages)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from such a state. Raises TrainingError when it is of other parameters."""
        averages: Mapping[str, Tensor] = state_dict["averages"]
        if averages.keys() != self.averages.keys():
            other = ", ".join(sorted(averages.keys() ^ self.averages.keys())[:5])
            raise TrainingError(f"the averages are of other parameters than the model trains: {other}")
        self.updates = state_dict["updates"]
        for name, average in self.averages.items():
            average.copy_(averages[name])


def _widened(weight: Tensor) -> Tensor:
    """The weight itself, or a copy in 32 bits when it has fewer."""
    return weight.detach().to(torch.promote_types(weight.dtype, torch.float32))
