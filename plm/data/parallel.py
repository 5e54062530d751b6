"""One function over many items, chunk by chunk, in several processes: the same results in the same order as in one.

    features = list(parallel_chunks(encode, texts, workers=4))

`encode(chunk, start)` gets some items and the place of the first, and returns what they become. It travels to each
process once, with all that it holds (a tokenizer, for example), the chunks one by one, so all of them must be
picklable; and a script that calls this needs the usual `if __name__ == "__main__":` around what it runs.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from tqdm import tqdm

from plm.errors import ConfigError, DataError, PlmError

Item = TypeVar("Item")
Result = TypeVar("Result")

# Chunks under way or waiting for an earlier one, for each process: bounds the memory when one chunk takes long.
_AHEAD = 4


def parallel_chunks(
    function: Callable[[Sequence[Item], int], Sequence[Result]],
    items: Sequence[Item],
    *,
    workers: int,
    chunk_size: int = 1000,
    description: str = "encoding",
    unit: str = "text",
) -> Iterator[Result]:
    """The results of all chunks, one after the other.

    workers: processes; 0 = none, everything happens here. chunk_size: items that the function gets at a time; results
    may depend on it, but never on `workers`.
    An error of the function is raised when the turn of its chunk comes, with the type and message that it has without
    processes. The processes end with the iterator, with an error, with Ctrl-C, and with this process.
    Shows a progress bar on a terminal after two seconds: items done, rate, time left.
    Raises ConfigError for numbers that cannot be meant or a function that cannot travel, DataError when a process dies.
    """
    if workers < 0 or chunk_size < 1:
        raise ConfigError(f"workers must be 0 or more and chunk_size 1 or more, got {workers} and {chunk_size}")
    starts = range(0, len(items), chunk_size)
    workers = min(workers, len(starts))
    chunks = _by_processes(function, items, starts, workers) if workers else _here(function, items, starts)
    with tqdm(total=len(items), desc=description, unit=unit, disable=None, delay=2, leave=False) as bar:
        try:
            for start, results in zip(starts, chunks, strict=True):
                yield from results
                bar.update(min(chunk_size, len(items) - start))
        finally:
            chunks.close()


def _here(
    function: Callable[[Sequence[Item], int], Sequence[Result]], items: Sequence[Item], starts: range
) -> Generator[Sequence[Result], None, None]:
    for start in starts:
        yield function(items[start : start + starts.step], start)


def _by_processes(
    function: Callable[[Sequence[Item], int], Sequence[Result]], items: Sequence[Item], starts: range, workers: int
) -> Generator[Sequence[Result], None, None]:
    payload = _travelling(function)
    crew: list[_Worker] = []
    finished: dict[int, Any] = {}
    todo = iter(starts)
    coming = next(todo, None)
    try:
        crew += [_Worker(payload) for _ in range(workers)]
        for start in starts:
            horizon = start + starts.step * _AHEAD * workers
            while start not in finished:
                # A process gets a chunk only while it waits for one, so nobody sends while the other does.
                for worker in crew:
                    if worker.start is None and coming is not None and coming < horizon:
                        worker.send(items[coming : coming + starts.step], coming)
                        coming = next(todo, None)
                for worker in _ready(crew):
                    place, outcome = worker.receive()
                    finished[place] = outcome
            outcome = finished.pop(start)
            if isinstance(outcome, _Failure):
                raise outcome.error
            yield outcome
    finally:
        for worker in crew:
            worker.end()


class _Failure:
    """What a chunk leads to instead of results."""

    def __init__(self, error: Exception) -> None:
        self.error = error


class _Worker:
    """A process that answers chunks with their results. start: place of the chunk that it works on, None = idle."""

    def __init__(self, payload: bytes) -> None:
        # Not forked: a process with threads, as torch and tokenizers start them, cannot be copied safely.
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(payload, theirs), daemon=True)
        self.process.start()
        theirs.close()
        self.start: int | None = None

    def send(self, chunk: Sequence[Any], start: int) -> None:
        self.start = start
        try:
            self.connection.send((chunk, start))
        except OSError as error:
            raise self._death() from error

    def receive(self) -> tuple[int, Any]:
        """Place and outcome of the chunk sent last."""
        assert self.start is not None, "only busy workers are asked"
        start, self.start = self.start, None
        try:
            return start, self.connection.recv()
        except (EOFError, OSError) as error:
            raise self._death() from error

    def end(self) -> None:
        self.connection.close()
        self.process.terminate()
        self.process.join()
        self.process.close()

    def _death(self) -> DataError:
        self.process.join()
        return DataError(
            f"a worker process died (exit code {self.process.exitcode}), most often for want of memory: take fewer "
            "workers or smaller chunks; if it could not even start, a script lacks `if __name__ == '__main__':`"
        )


def _ready(crew: Sequence[_Worker]) -> list[_Worker]:
    """The busy workers that have something to say, at least one."""
    busy = {worker.connection: worker for worker in crew if worker.start is not None}
    return [busy[connection] for connection in wait(list(busy)) if isinstance(connection, Connection)]


def _serve(payload: bytes, connection: Connection) -> None:
    """What a process does: answer, until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the first one ends the others
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # as many threads as cores, in every process
    function: Any = None
    try:
        while True:
            chunk, start = connection.recv()
            try:
                function = function or pickle.loads(payload)
                answer = pickle.dumps(function(chunk, start))
            except Exception as error:
                answer = pickle.dumps(_Failure(_portable(error)))
            connection.send_bytes(answer)
    except (EOFError, OSError):
        return


def _portable(error: Exception) -> Exception:
    """The error itself, if it can travel; what is no message for users gets the place where it happened as a note."""
    if not isinstance(error, PlmError):
        error.add_note("In a worker process:\n" + traceback.format_exc())
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return DataError(f"{type(error).__name__}: {error}")
    return error


def _travelling(function: Callable[..., Any]) -> bytes:
    try:
        return pickle.dumps(function)
    except Exception as error:
        raise ConfigError(
            f"{function!r} cannot be sent to worker processes ({error}); take a function or class of a module, or "
            "workers=0"
        ) from error
