"""Parts of a run that have no state of their own to ask for: the updater, the random states, the best weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from plm.training.distributed import is_spread
from plm.training.random_state import get_random_state, set_random_state
from plm.training.update import Updater


class UpdaterState:
    """What an Updater remembers from one update to the next: moments, the scale of the losses, overflows in a row."""

    def __init__(self, updater: Updater) -> None:
        self.updater = updater

    def state_dict(self) -> dict[str, Any]:
        """All of it; the learning rate is a function of the number of the update."""
        updater = self.updater
        return {
            "optimizer": updater.optimizer.state_dict(),
            "scaler": updater.scaler.state_dict(),
            "skipped": updater.skipped,
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from such a state."""
        optimizer = self.updater.optimizer
        planned = [group.get("restarts", ()) for group in optimizer.param_groups]
        optimizer.load_state_dict(state_dict["optimizer"])
        for group, restarts in zip(optimizer.param_groups, planned, strict=True):
            if restarts or "restarts" in group:
                group["restarts"] = restarts  # those of the phases as they are now
        self.updater.scaler.load_state_dict(state_dict["scaler"])
        self.updater.skipped = state_dict["skipped"]


class RandomStates:
    """The random states of the process. device: of the model.

    Batches and dropout are functions of seed, epoch and update, and need none of them; evaluations and steps of others
    may.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def state_dict(self) -> dict[str, Any]:
        """As they are."""
        return dict(get_random_state(self.device))

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from them."""
        set_random_state(state_dict, self.device)


class BestWeights:
    """A copy, in main memory, of the weights that did best; empty before the first evaluation.

    Of a sharded model each process keeps its part, where it is.
    """

    def __init__(self) -> None:
        self.weights: dict[str, Tensor] = {}

    def keep(self, model: nn.Module) -> None:
        """Copy the weights of a model."""
        # copy=True: on the CPU, `to` alone would hand out the weights themselves, which go on changing.
        self.weights = {
            name: tensor.clone() if is_spread(tensor) else tensor.to("cpu", copy=True)
            for name, tensor in model.state_dict().items()
        }

    def restore(self, model: nn.Module) -> None:
        """Put them into the model, if there are any."""
        if self.weights:
            model.load_state_dict(self.weights)

    def state_dict(self) -> dict[str, Tensor]:
        """The weights by name."""
        return self.weights

    def load_state_dict(self, state_dict: Mapping[str, Tensor]) -> None:
        """Take them from a checkpoint."""
        self.weights = dict(state_dict)
