"""The two-layer network that every token passes on its own."""

from __future__ import annotations

from torch import Tensor, nn

from plm.blocks.activations import ACTIVATIONS
from plm.blocks.linear import Linear, project_activated


class FeedForward(nn.Module):
    """Up to the inner size, activation, down again.

    activation: a name in ACTIVATIONS.
    """

    def __init__(self, *, hidden_size: int, intermediate_size: int, activation: str) -> None:
        super().__init__()
        ACTIVATIONS.get(activation)  # names the known ones at once, not at the first forward pass
        self.activation = activation
        self.up = Linear(hidden_size, intermediate_size)
        self.down = Linear(intermediate_size, hidden_size)

    def forward(self, hidden: Tensor) -> Tensor:
        """hidden: (..., hidden). Returns the same shape."""
        output: Tensor = self.down(project_activated(hidden, self.up, self.activation))
        return output
