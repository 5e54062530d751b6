"""Chunks in several processes: the same results, the same errors, and nobody left behind.

Starting a process takes seconds, as it imports torch; therefore a test that starts some keeps several promises.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator, Sequence
from functools import partial

import pytest

from plm.errors import ConfigError, DataError, UnknownNameError
from plm.parallel import parallel_chunks, parallel_map, portable


def double(chunk: Sequence[bytes], start: int) -> list[tuple[bytes, int]]:
    """Each item twice, with its place; the first chunk takes longest."""
    time.sleep(0.1 if start == 0 else 0.0)
    return [(2 * item, start + offset) for offset, item in enumerate(chunk)]


def threads(chunk: Sequence[int], start: int) -> list[str | None]:
    return [os.environ.get("TOKENIZERS_PARALLELISM")] * len(chunk)


def fail_at(bad: int, error: Exception, chunk: Sequence[int], start: int) -> Sequence[int]:
    if bad in chunk:
        raise error
    return chunk


def die(chunk: Sequence[int], start: int) -> list[int]:
    os.kill(os.getpid(), signal.SIGKILL)
    return []


@pytest.fixture(autouse=True)
def nobody_left() -> Iterator[None]:
    yield
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("workers", [0, 2])
def test_results_and_their_order_do_not_depend_on_the_workers(workers: int) -> None:
    items = [bytes([number]) * (300_000 if number % 7 == 0 else 1) for number in range(30)]  # beyond a pipe's buffer
    expected = [(2 * item, place) for place, item in enumerate(items)]
    assert list(parallel_chunks(double, items, workers=workers, chunk_size=4)) == expected


def test_no_items_need_no_process() -> None:
    assert list(parallel_chunks(double, [], workers=2)) == []


@pytest.mark.parametrize("workers", [0, 2])
def test_errors_come_in_turn_with_their_type_and_message(workers: int) -> None:
    error = UnknownNameError("train.tsv, line 24: no such label")
    results = parallel_chunks(partial(fail_at, 23, error), range(100), workers=workers, chunk_size=5)
    assert [next(results) for _ in range(20)] == list(range(20))
    with pytest.raises(UnknownNameError, match=r"^train.tsv, line 24: no such label$"):
        next(results)


def test_errors_that_are_no_messages_tell_where_they_happened() -> None:
    class OwnError(Exception):
        """Known to no other process."""

    assert portable(DataError("line 7")).args == ("line 7",)
    assert not hasattr(portable(DataError("line 7")), "__notes__")
    try:
        fail_at(1, ZeroDivisionError("x"), [1], 0)
    except ZeroDivisionError as error:
        travelled = portable(error)
        assert isinstance(travelled, ZeroDivisionError)
        assert "In a worker process" in travelled.__notes__[0]
        assert "fail_at" in travelled.__notes__[0]
    converted = portable(OwnError("by itself"))
    assert isinstance(converted, DataError)
    assert str(converted) == "OwnError: by itself"


def test_a_process_that_dies_is_an_error() -> None:
    with pytest.raises(DataError, match=r"a worker process died \(exit code -9\)"):
        list(parallel_chunks(die, range(3), workers=1))


def test_far_chunks_wait_and_leaving_early_ends_the_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    class Watched(list[int]):
        farthest = 0

        def __getitem__(self, place: slice) -> list[int]:  # type: ignore[override]
            self.farthest = max(self.farthest, place.stop)
            return super().__getitem__(place)

    monkeypatch.delenv("TOKENIZERS_PARALLELISM", raising=False)
    items = Watched(range(400))
    results = parallel_chunks(threads, items, workers=1, chunk_size=2)
    assert next(results) == "false"  # every process would have as many threads as there are cores
    time.sleep(0.1)
    assert items.farthest <= 2 * 5
    assert len(multiprocessing.active_children()) == 1
    results.close()  # type: ignore[attr-defined]


def interrupted() -> None:
    for _ in parallel_chunks(double, [b"x"] * 1000, workers=2, chunk_size=10):
        os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_ends_the_processes() -> None:
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)  # shells let background jobs ignore it
    try:
        with pytest.raises(KeyboardInterrupt):
            interrupted()
    finally:
        signal.signal(signal.SIGINT, usual)


def test_what_cannot_be_meant_is_refused() -> None:
    with pytest.raises(ConfigError, match="got -1"):
        list(parallel_chunks(double, [b"x"], workers=-1))
    with pytest.raises(ConfigError, match="cannot be sent to worker processes"):
        list(parallel_chunks(lambda chunk, start: chunk, [1], workers=1))


def doubled(item: int) -> int:
    return 2 * item


@pytest.mark.parametrize("workers", [0, 2])
def test_items_of_an_iterator_are_taken_only_shortly_before_their_turn(workers: int) -> None:
    taken: list[int] = []

    def endless() -> Iterator[int]:
        for number in itertools.count():
            taken.append(number)
            yield number

    results = parallel_map(doubled, endless(), workers=workers)
    assert [next(results) for _ in range(50)] == list(range(0, 100, 2))
    assert len(taken) <= 50 + 4 * workers
    results.close()


def test_the_end_of_an_iterator_is_the_end_of_the_results() -> None:
    assert list(parallel_map(doubled, iter(range(7)), workers=2)) == list(range(0, 14, 2))
