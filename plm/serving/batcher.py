"""Texts of many requests, computed together: a queue that a thread empties in batches of about equal cost.

The event loop owns the queue, one thread owns the model. A batch is due when its tokens reach the budget, or when its
oldest text has waited long enough; while the thread is busy the next one gathers by itself. Where the last batch was of
one request alone nobody else is expected, and nothing waits.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

from plm.serving.errors import ServiceError

# From several values to as many results; runs in the thread of the model.
Work = Callable[[list[Any]], list[Any]]

# Of each thread: the entries that it computes.
_computing = threading.local()


class NobodyWaits(Exception):
    """All that a thread computes was given up."""


class Watch(Protocol):
    """Whoever wants to know what a batcher does."""

    def queued(self, texts: int) -> None:
        """So many texts wait now."""
        ...

    def computed(self, *, texts: int, tokens: int, seconds: float) -> None:
        """A batch is done."""
        ...


@dataclass(frozen=True, eq=False)
class _Entry:
    """One value that waits. group: only values of one group share a batch, and all of a group have the same work."""

    value: Any
    tokens: int
    group: Hashable
    work: Work
    future: asyncio.Future[Any]
    arrived: float


class Batcher:
    """The queue of one model.

    name: of the model. tokens: of a batch, about; a longer text is a batch of its own. wait: seconds that a text waits
    for others at most while the thread is free and others are expected. room: texts that may wait.
    Made and used inside a running event loop.
    """

    def __init__(self, name: str, *, tokens: int, wait: float, room: int, watch: Watch) -> None:
        self._tokens, self._wait, self._room, self._watch = tokens, wait, room, watch
        self._waiting: deque[_Entry] = deque()
        self._arrived = asyncio.Event()
        self._speed = 0.0  # tokens a second, of the last batches
        self._has_company = False  # the last batch was of several requests
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"plm-{name}")
        self._task = asyncio.get_running_loop().create_task(self._serve())

    async def submit(self, values: Sequence[Any], *, tokens: Sequence[int], work: Work, group: Hashable) -> list[Any]:
        """What `work` makes of each value, in order.

        tokens: the cost of each value. Cancelling takes the values that still wait out of the queue.
        Raises ServiceError (overloaded) when the queue has no room for all, and what the work raised for a value.
        """
        if len(self._waiting) + len(values) > self._room:
            raise self._overloaded(len(values))
        loop, now = asyncio.get_running_loop(), time.monotonic()
        entries = [
            _Entry(value, cost, group, work, loop.create_future(), now)
            for value, cost in zip(values, tokens, strict=True)
        ]
        self._waiting.extend(entries)
        self._notice()
        try:
            return list(await asyncio.gather(*(entry.future for entry in entries)))
        finally:
            self._forget(entries)

    async def close(self) -> None:
        """End the thread once it is idle. Nothing may be waiting any more."""
        assert not self._waiting, "closed before all was answered"
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await asyncio.to_thread(self._thread.shutdown)

    def _overloaded(self, more: int) -> ServiceError:
        tokens = sum(entry.tokens for entry in self._waiting)
        seconds = max(1, math.ceil(tokens / self._speed)) if self._speed else 1
        return ServiceError(
            "overloaded",
            f"{len(self._waiting)} texts are waiting, and {more} more would be above {self._room}; ask again later",
            retry_after=seconds,
        )

    def _notice(self) -> None:
        self._watch.queued(len(self._waiting))
        self._arrived.set()

    def _forget(self, entries: Sequence[_Entry]) -> None:
        """Drop what nobody waits for any more."""
        for entry in entries:
            entry.future.cancel()
        if any(entry.future.cancelled() for entry in entries):
            self._waiting = deque(entry for entry in self._waiting if not entry.future.done())
            self._notice()

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            batch = await self._next()
            started = time.monotonic()
            results = await loop.run_in_executor(self._thread, _compute, batch)
            seconds = time.monotonic() - started
            for entry, result in zip(batch, results, strict=True):
                _settle(entry.future, result)
            tokens = sum(entry.tokens for entry in batch)
            speed = tokens / max(seconds, 1e-6)
            self._speed = speed if not self._speed else 0.8 * self._speed + 0.2 * speed
            self._watch.computed(texts=len(batch), tokens=tokens, seconds=seconds)

    async def _next(self) -> list[_Entry]:
        """The next batch, once it is due."""
        while True:
            batch, is_full = self._first()
            wait = self._wait if self._has_company else 0.0
            left = batch[0].arrived + wait - time.monotonic() if batch else None
            if batch and (is_full or (left is not None and left <= 0)):
                for _ in range(len(self._waiting)):  # one turn of the queue, which keeps its order
                    entry = self._waiting.popleft()
                    if entry not in batch:
                        self._waiting.append(entry)
                self._has_company = len({entry.arrived for entry in batch}) > 1
                self._watch.queued(len(self._waiting))
                return batch
            self._arrived.clear()
            try:
                async with asyncio.timeout(left):
                    await self._arrived.wait()
            except TimeoutError:
                pass

    def _first(self) -> tuple[list[_Entry], bool]:
        """What would be computed now: the oldest text and those of its group after it. True = no other fits."""
        batch: list[_Entry] = []
        total = 0
        for entry in self._waiting:
            if batch and entry.group != batch[0].group:
                continue
            if batch and total + entry.tokens > self._tokens:
                return batch, True
            batch.append(entry)
            total += entry.tokens
        return batch, total >= self._tokens


def stop_where_nobody_waits(*_: object) -> None:
    """Raise NobodyWaits if all that this thread computes was cancelled; a model's hook calls it before every pass."""
    batch: Sequence[_Entry] = getattr(_computing, "batch", ())
    if batch and all(entry.future.cancelled() for entry in batch):
        raise NobodyWaits


def _compute(batch: Sequence[_Entry]) -> list[Any]:
    """A result or an exception for each entry. When a batch fails its values are tried alone: one may be at fault."""
    values = [entry.value for entry in batch]
    _computing.batch = batch
    try:
        return batch[0].work(values)
    except Exception as error:
        if len(batch) == 1:
            return [error]
        return [result for entry in batch for result in _compute([entry])]


def _settle(future: asyncio.Future[Any], result: Any) -> None:
    if future.done():  # cancelled meanwhile
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
