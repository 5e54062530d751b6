"""One function over many items in several processes: the same results in the same order as in one.

    features = list(parallel_chunks(encode, texts, workers=4))
    for encoded in parallel_map(encode_block, read_blocks(files), workers=4): ...

`parallel_map` takes items one by one, as an iterator gives them; `parallel_chunks` a sequence, so many items at a time.
The function travels to each process once, with all that it holds (a tokenizer, for example), the items one by one, so
all of them must be picklable; and a script that calls this needs the usual `if __name__ == "__main__":` around what it
runs.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from tqdm import tqdm

from plm.errors import ConfigError, DataError, PlmError

Item = TypeVar("Item")
Result = TypeVar("Result")

# Items under way or waiting for an earlier one, for each process: bounds the memory when one of them takes long.
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

    function: gets some items and the place of the first, and returns what they become.
    workers: processes; 0 = none, everything happens here. chunk_size: items that the function gets at a time; results
    may depend on it, but never on `workers`.
    Errors, processes and Ctrl-C are as in `parallel_map`.
    Shows a progress bar on a terminal after two seconds: items done, rate, time left.
    Raises ConfigError for numbers that cannot be meant or a function that cannot travel, DataError when a process dies.
    """
    if chunk_size < 1:
        raise ConfigError(f"chunk_size: expected 1 or more, got {chunk_size}")
    starts = range(0, len(items), chunk_size)
    chunks = ((items[start : start + chunk_size], start) for start in starts)
    answers = parallel_map(_Unpacking(function), chunks, workers=min(workers, len(starts)))
    with tqdm(total=len(items), desc=description, unit=unit, disable=None, delay=2, leave=False) as bar:
        try:
            for start, results in zip(starts, answers, strict=True):
                yield from results
                bar.update(min(chunk_size, len(items) - start))
        finally:
            answers.close()


def parallel_map(
    function: Callable[[Item], Result], items: Iterable[Item], *, workers: int
) -> Generator[Result, None, None]:
    """The result of every item, in their order; only a few items are taken before their turn.

    workers: processes; 0 = none, everything happens here, and results are the same.
    An error of the function is raised when the turn of its item comes, with the type and message that it has without
    processes. The processes end with the iterator, with an error, with Ctrl-C, and with this process.
    Raises ConfigError for numbers that cannot be meant or a function that cannot travel, DataError when a process dies.
    """
    if workers < 0:
        raise ConfigError(f"workers: expected 0 or more processes, got {workers}")
    return _by_processes(function, iter(items), workers) if workers else _here(function, iter(items))


def _here(function: Callable[[Item], Result], items: Iterator[Item]) -> Generator[Result, None, None]:
    for item in items:
        yield function(item)


def _by_processes(
    function: Callable[[Item], Result], items: Iterator[Item], workers: int
) -> Generator[Result, None, None]:
    payload = _travelling(function)
    crew: list[_Worker] = []
    finished: dict[int, Any] = {}
    sent = turn = 0
    is_more = True
    try:
        crew += [_Worker(payload) for _ in range(workers)]
        while True:
            # A process gets an item only while it waits for one, so nobody sends while the other does.
            for worker in crew:
                if is_more and worker.place is None and sent < turn + _AHEAD * workers:
                    try:
                        item = next(items)
                    except StopIteration:
                        is_more = False
                    else:
                        worker.send(item, sent)
                        sent += 1
            if turn == sent:
                return
            if turn in finished:
                outcome = finished.pop(turn)
                if isinstance(outcome, Failure):
                    raise outcome.error
                turn += 1
                yield outcome
            else:
                finished.update(worker.receive() for worker in _ready(crew))
    finally:
        for worker in crew:
            worker.end()


class _Unpacking:
    """A function of a chunk and the place of its first item, as a function of both together."""

    def __init__(self, function: Callable[[Any, int], Any]) -> None:
        self.function = function

    def __call__(self, chunk: tuple[Any, int]) -> Any:
        return self.function(*chunk)


class Failure:
    """What an item leads to instead of a result."""

    def __init__(self, error: Exception) -> None:
        self.error = error


class _Worker:
    """A process that answers items with their results. place: of the item that it works on, None = idle."""

    def __init__(self, payload: bytes) -> None:
        # Not forked: a process with threads, as torch and tokenizers start them, cannot be copied safely.
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(payload, theirs), daemon=True)
        self.process.start()
        theirs.close()
        self.place: int | None = None

    def send(self, item: Any, place: int) -> None:
        self.place = place
        try:
            self.connection.send(item)
        except OSError as error:
            raise self._death() from error

    def receive(self) -> tuple[int, Any]:
        """Place and outcome of the item sent last."""
        assert self.place is not None, "only busy workers are asked"
        place, self.place = self.place, None
        try:
            return place, self.connection.recv()
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
    busy = {worker.connection: worker for worker in crew if worker.place is not None}
    return [busy[connection] for connection in wait(list(busy)) if isinstance(connection, Connection)]


def _serve(payload: bytes, connection: Connection) -> None:
    """What a process does: answer, until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the first one ends the others
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # as many threads as cores, in every process
    function: Any = None
    try:
        while True:
            item = connection.recv()
            try:
                function = function or pickle.loads(payload)
                answer = pickle.dumps(function(item))
            except Exception as error:
                answer = pickle.dumps(Failure(portable(error)))
            connection.send_bytes(answer)
    except (EOFError, OSError):
        return


def portable(error: Exception) -> Exception:
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
