"""Batches that other processes make while the model is updated: the same ones, in the same order."""

from __future__ import annotations

import os
import signal
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence, Sized
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils.data import DataLoader

from plm.errors import TrainingError
from plm.training.shares import Indexable
from plm.training.step import Batch


class Ahead:
    """An epoch whose batches are there before they are asked for: len() and epoch[number].

    numbers: the batches that will be asked for, in this order; any other one is made when it is.
    """

    def __init__(self, source: Indexable, numbers: Sequence[int], *, workers: int) -> None:
        self.source = source
        self._coming = deque(numbers)
        loader: DataLoader[Batch] = DataLoader(
            source,  # type: ignore[arg-type]  # anything with an index will do
            sampler=numbers,
            batch_size=None,
            num_workers=workers,
            worker_init_fn=_ignore_signals,
            multiprocessing_context="fork",
            generator=torch.Generator(),  # else it would draw from the one that everybody has
        )
        self._made = iter(loader)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, number: int) -> Batch:
        """Raises TrainingError where a process died while it sent the batch."""
        if not self._coming or self._coming[0] != number:
            return self.source[number]
        self._coming.popleft()
        try:
            return next(self._made)
        except (EOFError, ConnectionError) as error:
            raise _lost(error) from error

    def stop(self) -> None:
        """End the processes, now: an error that is on its way keeps the iterator, and so them, alive."""
        self._made._shutdown_workers()  # type: ignore[attr-defined]  # torch has no public name for it


@contextmanager
def made_ahead(source: Iterable[Batch], numbers: Iterable[int], *, workers: int) -> Iterator[Iterable[Batch]]:
    """An epoch as it is, without workers, or as so many processes make it, which end with the context.

    numbers: of the batches that will be asked for, in this order.
    Raises TrainingError for an epoch that cannot be indexed, and on systems that do not copy processes (fork).
    """
    if not workers:
        yield source
        return
    if not hasattr(os, "fork"):
        raise TrainingError(f"batch_workers: {sys.platform} cannot copy a process (fork); take 0")
    if not isinstance(source, Sized) or not hasattr(source, "__getitem__"):
        raise TrainingError(
            f"batch_workers: {workers} processes cannot share {type(source).__name__}, which has no length or cannot "
            "be indexed; take 0"
        )
    ahead: Any = Ahead(source, list(numbers), workers=workers)
    try:
        yield ahead
    finally:
        ahead.stop()


@contextmanager
def lost_workers_explained() -> Iterator[None]:
    """Turn what torch raises, anywhere inside, when a process that makes batches dies, into a TrainingError."""
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise _lost(error) from error


def _lost(error: Exception) -> TrainingError:
    return TrainingError(
        "a process that makes batches has died, perhaps for want of memory "
        f"({str(error).strip() or type(error).__name__}); go on "
        "from the last checkpoint (resume), with fewer batch_workers, or with 0"
    )


def _ignore_signals(worker: int) -> None:
    """Ctrl-C reaches all processes of a terminal; how an update ends is the business of the one that asks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
