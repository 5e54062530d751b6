"""Models whose weights are spread over the processes, and how they are made whole again."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from typing import Any

import torch.distributed as dist
from torch import Tensor, nn
from torch._C._distributed_c10d import HashStore
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from plm.errors import TrainingError
from plm.training.distributed import Processes, leave_at_exit

BLOCKS = "blocks"
"""Name of the list of blocks in a model. Each block is fetched before it computes and dropped after it."""


def sharded(model: nn.Module, processes: Processes) -> nn.Module:
    """A copy of a model, on the device of this process, of which it holds the part of one process.

    Weights, gradients and moments of the optimizer take 1 / count of the memory, and one block more. The model itself
    stays as it is, best on the CPU. Gradients are added up over the processes, not averaged.
    Raises TrainingError when the model has no blocks.
    """
    copied = copy.deepcopy(model).to(processes.device)
    blocks = _blocks(copied)
    if not blocks:
        raise TrainingError(
            f'parallel "fsdp" looks for a list of blocks, an nn.ModuleList named {BLOCKS!r}, and '
            f'{type(model).__name__} has none; take parallel "ddp"'
        )
    mesh = _mesh(next(copied.parameters()).device.type, processes)
    # The outputs of plm's heads are views, which nobody may change in place; nobody does.
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor")
    for module in [*blocks, copied]:
        part = fully_shard(module, mesh=mesh)
        part.set_gradient_divide_factor(1.0)
        part.set_force_sum_reduction_for_comms(True)
    return copied


def mesh_of(model: nn.Module) -> DeviceMesh:
    """The processes that hold the parts of a sharded model."""
    return next(tensor.device_mesh for tensor in model.parameters() if isinstance(tensor, DTensor))


def _mesh(device: str, processes: Processes) -> DeviceMesh:
    if not dist.is_initialized():  # one process, which talks to nobody
        backend = "cpu:gloo,cuda:nccl" if device == "cuda" else "gloo"
        dist.init_process_group(backend, store=HashStore(), rank=0, world_size=1)
        leave_at_exit()
    return init_device_mesh(device, (processes.count,))


def _blocks(model: nn.Module) -> list[nn.Module]:
    """The blocks of all lists of blocks in a model."""
    lists = [part for name, part in model.named_modules() if name.rpartition(".")[2] == BLOCKS]
    return [block for part in lists if isinstance(part, nn.ModuleList) for block in part]


def whole(tree: Any, *, keep: bool) -> Any:
    """A state with every sharded tensor made whole, on the CPU; all processes call this together.

    keep: False = this process only takes part; what it gets holds empty tensors in their place.
    """
    if isinstance(tree, DTensor):
        full: Tensor = tree.full_tensor().detach()
        return full.cpu() if keep else full.new_empty(0, device="cpu")
    if isinstance(tree, Mapping):
        return {key: whole(value, keep=keep) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)(whole(value, keep=keep) for value in tree)
    return tree


def spread_like(value: Tensor, example: Tensor) -> Tensor:
    """The part of a whole tensor that this process holds of `example`; the same tensor where that is not sharded."""
    if not isinstance(example, DTensor):
        return value
    moved = value.to(example.device, example.dtype)
    return distribute_tensor(moved, example.device_mesh, example.placements, src_data_rank=None)
