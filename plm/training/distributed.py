"""Several processes that train one model, as torchrun starts them: who they are, and what they tell each other.

    torchrun --nproc-per-node 4 train.py

Everything that decides, weights of losses, results, reasons to stop, goes through the functions here, so that all
processes do the same. They are exact: the order of the processes never changes a result by more than rounding.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeGuard, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._C._distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from plm.errors import PlmError, TrainingError

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor

Value = TypeVar("Value")


class Processes:
    """This process among those that train together; all of them make the same calls in the same order.

    rank: its number, from 0. count: of all of them. device: the one that it computes on.
    """

    def __init__(self, *, rank: int = 0, count: int = 1, device: torch.device | str | None = None) -> None:
        self.rank, self.count = rank, count
        self.device = None if device is None else torch.device(device)
        self._names: list[str] = []

    @property
    def is_main(self) -> bool:
        """True = this one writes files and talks to the user."""
        return self.rank == 0

    def barrier(self) -> None:
        """Wait until all are here."""
        self.sums({})

    def sums(self, values: Mapping[str, float]) -> dict[str, float]:
        """By name, the sum over the processes that have it; in the order of the names if there are several processes.

        Takes one small message, and two more when there are names that were never there before.
        """
        if self.count == 1:
            return dict(values)
        while True:
            is_new = not values.keys() <= set(self._names)
            numbers = [float(values.get(name, 0.0)) for name in self._names]
            present = [float(name in values) for name in self._names]
            message = torch.tensor([float(is_new), *numbers, *present], dtype=torch.float64)
            dist.all_reduce(message)
            unknown, *summed = message.tolist()
            if not unknown:
                break
            self._names = sorted({*self._names, *(name for names in self.gather(list(values)) for name in names)})
        number = len(self._names)
        return {
            name: total
            for name, total, owners in zip(self._names, summed[:number], summed[number:], strict=True)
            if owners
        }

    def gather(self, value: Value) -> list[Value]:
        """The values of all processes, by rank, in each of them. They are pickled: numbers, texts and small arrays."""
        if self.count == 1:
            return [value]
        values: list[Any] = [None] * self.count
        dist.all_gather_object(values, value)
        return values

    def from_main(self, value: Value) -> Value:
        """The value of the main process, in each of them."""
        if self.count == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def agree(self, reason: str | None) -> str | None:
        """A reason that any of the processes has, the same in all; None = none has one."""
        return next(iter(self.sums({} if reason is None else {reason: 1.0})), None)

    def by_main(self, work: Callable[[], Value]) -> Value:
        """What the main process makes of `work`, in each of them. An error of plm's kind is raised in all."""
        if self.count == 1:
            return work()
        found: tuple[Value | None, PlmError | None] = (None, None)
        if self.is_main:
            try:
                found = (work(), None)
            except PlmError as error:
                found = (None, error)
        value, failure = self.from_main(found)
        if failure is not None:
            raise failure
        return cast("Value", value)

    def copy_from_main(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite tensors with those of the main process."""
        if self.count > 1:
            for tensor in tensors:
                dist.broadcast(tensor.detach(), src=0)


ALONE = Processes()
"""One process, and no others."""


def join() -> Processes:
    """The processes that torchrun started, or this one alone; call it again for another view of the same.

    With CUDA each process has the GPU whose number is its local rank, and it is made the current one; else the CPU.
    Raises TrainingError when there are fewer GPUs than processes on this machine.
    """
    is_cuda = torch.cuda.is_available()
    if not dist.is_initialized():
        if int(os.environ.get("WORLD_SIZE", "1")) == 1:
            return Processes(device="cuda" if is_cuda else "cpu")
        if is_cuda:
            torch.cuda.set_device(_local_device())
        store, rank, count = next(rendezvous("env://"))
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if is_cuda else "gloo", store=_fresh(store), rank=rank, world_size=count
        )
        leave_at_exit()
    device = f"cuda:{torch.cuda.current_device()}" if is_cuda else "cpu"
    return Processes(rank=dist.get_rank(), count=dist.get_world_size(), device=device)


def is_sharded(model: nn.Module) -> bool:
    """True = each process holds only its part of the weights: plm.training.sharded made the model, or one inside it."""
    # Importing the class takes half a second, which no program should pay that does not shard.
    module = sys.modules.get("torch.distributed.fsdp")
    return module is not None and any(isinstance(part, module.FSDPModule) for part in model.modules())


def is_spread(tensor: Tensor) -> TypeGuard[DTensor]:
    """True = each process holds only its part of this tensor."""
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(tensor, module.DTensor)


def _local_device() -> int:
    local, here = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if local >= here:
        wanted = os.environ.get("LOCAL_WORLD_SIZE", "more")
        raise TrainingError(f"{wanted} processes on a machine with {here} GPUs: start at most one process for each GPU")
    return local


def _fresh(store: Store) -> Store:
    """A store without what an earlier try under --max-restarts left: where its processes, now dead, could be reached.

    On one machine torchrun goes on with the same store, unless told --standalone. On several it makes a new one for
    each try, and their counts of tries may differ.
    """
    if os.environ.get("LOCAL_WORLD_SIZE") != os.environ["WORLD_SIZE"]:
        return store
    return PrefixStore(f"try {os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)


def leave_at_exit() -> None:
    """Have what processes talk through closed when this one ends; torch complains otherwise."""
    atexit.register(_leave)


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()
