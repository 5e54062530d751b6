"""Large inputs in windows: a thread prepares the next one while the model computes, for tokenizers let others run."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from plm.errors import TokenizerError

Prepared = TypeVar("Prepared")

# So many that a last batch which is not full, and lengths sorted in windows instead of all together, hardly cost.
BATCHES_IN_A_WINDOW = 64


def windows(sizes: Iterable[int], most: int) -> Iterator[range]:
    """Places, in order, in windows whose sizes sum to at most `most`; what is larger alone is a window of its own."""
    start = end = total = 0
    for end, size in enumerate(sizes, 1):
        if total + size > most and end - 1 > start:
            yield range(start, end - 1)
            start, total = end - 1, 0
        total += size
    if end > start:
        yield range(start, end)


@contextmanager
def one_ahead(prepare: Callable[[range], Prepared], parts: Sequence[range]) -> Generator[Iterator[Prepared]]:
    """What `prepare` makes of each part, in order, the next one made in a thread while the caller uses the last.

    Without a thread where there is one part, or one core. An error in the thread is raised where its part would have
    come. Leaving early, by Ctrl-C too, waits for the part that is being made and makes no other.
    """
    if len(parts) < 2 or usable_cores() < 2:
        yield map(prepare, parts)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="plm-ahead") as thread:
        yield _made_by(thread, prepare, parts)


@contextmanager
def counted_from(window: range) -> Generator[None]:
    """What tokenizers say of a text is about its place in the window: say where that begins."""
    try:
        yield
    except TokenizerError as error:
        if window.start == 0:
            raise
        raise TokenizerError(f"counted from text {window.start}: {error}") from error


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _made_by(
    thread: ThreadPoolExecutor, prepare: Callable[[range], Prepared], parts: Sequence[range]
) -> Iterator[Prepared]:
    coming = thread.submit(prepare, parts[0])
    for part in parts[1:]:
        ready = coming.result()
        coming = thread.submit(prepare, part)
        yield ready
    yield coming.result()
