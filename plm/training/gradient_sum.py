"""Gradients added up over processes while the last backward pass still runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import cast

import torch
import torch.distributed as dist
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from plm.errors import TrainingError
from plm.training.distributed import Processes

# Gradients travel in pieces of so many numbers: few enough to set out early, enough to keep a network busy.
_BUCKET = 2**23


class GradientSum:
    """Turns the gradient of each parameter into the sum over the processes; None counts as 0.

    A gradient that is None in all of them stays so: an optimizer then leaves the parameter alone.

    Parameters travel in buckets, those of the model's end, whose gradients are there first, before the others. In each
    process a bucket sets out as soon as it is complete and those before it are on their way; what a process has no
    gradient for is sent at the end, as zeros. So all of them send the same buckets in the same order, and yet may have
    different numbers of batches, none, and different heads in them. That is more than torch's
    DistributedDataParallel can do, which counts on the same backward passes everywhere.
    """

    def __init__(self, parameters: Iterable[Tensor], processes: Processes) -> None:
        self.buckets = [_Bucket(each) for each in _buckets(parameters)] if processes.count > 1 else []
        self._bucket_of = {parameter: bucket for bucket in self.buckets for parameter in bucket.parameters}
        self._hooks: list[RemovableHandle] = []
        self._sent = 0

    def before_last_backward(self) -> None:
        """From here on gradients are final as they come. A process without any batch does not call this."""
        self._hooks = [_watch(each, self._on_gradient) for each in self._bucket_of]

    def finish(self) -> None:
        """Send what has not been sent, and wait; afterwards all gradients are sums. All processes call it."""
        for hook in self._hooks:
            hook.remove()
        for bucket in self.buckets[self._sent :]:
            bucket.send()
        for bucket in self.buckets:
            bucket.receive()
        self._hooks, self._sent = [], 0

    def _on_gradient(self, parameter: Tensor) -> None:
        self._bucket_of[parameter].note(parameter)
        while self._sent < len(self.buckets) and self.buckets[self._sent].is_complete:
            self.buckets[self._sent].send()
            self._sent += 1


class _Bucket:
    """Parameters whose gradients travel together. parameters: of one type and device."""

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self.parameters = parameters
        self._missing = set(parameters)
        self._message: Tensor | None = None
        self._work: dist.Work | None = None

    @property
    def is_complete(self) -> bool:
        """True = every parameter has its gradient."""
        return not self._missing

    def note(self, parameter: Tensor) -> None:
        """One has it now. Raises TrainingError when it was sent already."""
        if self._message is not None:
            raise TrainingError(
                "a parameter got its gradient in two parts, in one backward pass: checkpoint blocks with "
                "use_reentrant=False, or train in one process"
            )
        self._missing.discard(parameter)

    def send(self) -> None:
        """Which gradients there are, and all of them, or zeros."""
        first = self.parameters[0]
        owned = [each.grad is not None for each in self.parameters]
        pieces = [torch.zeros_like(each) if each.grad is None else each.grad for each in self.parameters]
        owners = torch.tensor(owned, dtype=first.dtype).to(first.device, non_blocking=True)
        self._message = torch.cat([owners, *(piece.flatten() for piece in pieces)])
        self._work = dist.all_reduce(self._message, async_op=True)

    def receive(self) -> None:
        """Wait for the sums, and put them where the gradients are."""
        assert self._work is not None and self._message is not None, "sent before"  # noqa: PT018, one thought
        self._work.wait()
        owners, sums = self._message[: len(self.parameters)].tolist(), self._message[len(self.parameters) :]
        parts = torch.split(sums, [each.numel() for each in self.parameters])
        for parameter, part, count in zip(self.parameters, parts, owners, strict=True):
            if count:
                own = torch.empty_like(parameter) if parameter.grad is None else parameter.grad
                parameter.grad = own.copy_(part.view_as(own))
        self._missing, self._message, self._work = set(self.parameters), None, None


def _buckets(parameters: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    """Parameters of one type and device, from the last one on, up to _BUCKET numbers together or one larger one."""
    by_kind: dict[tuple[torch.dtype, torch.device], list[Tensor]] = {}
    for parameter in parameters:
        by_kind.setdefault((parameter.dtype, parameter.device), []).append(parameter)
    for alike in by_kind.values():
        bucket: list[Tensor] = []
        for parameter in reversed(alike):
            if bucket and sum(each.numel() for each in bucket) + parameter.numel() > _BUCKET:
                yield bucket
                bucket = []
            bucket.append(parameter)
        yield bucket


def _watch(parameter: Tensor, call: Callable[[Tensor], None]) -> RemovableHandle:
    return cast("RemovableHandle", parameter.register_post_accumulate_grad_hook(call))  # type: ignore[no-untyped-call]
