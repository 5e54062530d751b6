"""The model of a run, as each process trains it."""

from __future__ import annotations

import itertools

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh

from plm.training.config import TrainingConfig
from plm.training.distributed import Processes


class Spread:
    """The model itself; with parallel "fsdp" a copy of it, of which each process has a part.

    model: what people gave, the same in all processes from here on: with the weights of the main one. Several processes
        move it to their devices, unless they train a copy.
    trained: what is trained and evaluated.
    """

    def __init__(self, model: nn.Module, config: TrainingConfig, processes: Processes) -> None:
        self.model = self.trained = model
        self.mesh: DeviceMesh | None = None
        if config.parallel == "fsdp":
            from plm.training.sharded import mesh_of, sharded  # takes half a second, which others need not pay

            self.trained = sharded(model, processes)
            self.mesh = mesh_of(self.trained)
        elif processes.count > 1:
            model.to(processes.device)
            processes.copy_from_main(itertools.chain(model.parameters(), model.buffers()))

    @torch.no_grad()
    def bring_home(self) -> None:
        """Have the weights as they are now in `model`, whole, in each process; all of them call this together."""
        if self.mesh is not None:
            from plm.training.sharded import whole

            own = self.model.state_dict()
            for name, tensor in self.trained.state_dict().items():
                if isinstance(tensor, torch.Tensor):
                    own[name].copy_(whole(tensor, keep=True))
