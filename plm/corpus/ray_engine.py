"""The blocks of a corpus encoded on a cluster, as jobs of Ray Data: `pip install "plm[ray]"`.

    prepare(["/shared/wiki"], "corpus", tokenizer=tokenizer, layout=layout, engine=ray_engine("10.0.0.1:6379"))

The process that calls this writes, so only what it writes decides, and the files are those of one machine to the byte.
Blocks go out in windows of some hundred for each CPU, so neither the text nor its ids are ever held as a whole. Ray
keeps its processes from one window to the next, and with them the words that they know. What a machine or process was
doing when it was lost is done again elsewhere, as often as it takes: Ray tells of every death, and goes on.
"""

from __future__ import annotations

import functools
import logging
import os
import pickle
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from types import ModuleType
from typing import Any, TypeVar

from plm.corpus.places import read
from plm.corpus.prepare import Engine
from plm.errors import ConfigError, DataError, optional_import
from plm.parallel import Failure, portable

Item = TypeVar("Item")
Result = TypeVar("Result")

_PURPOSE = "preparing a corpus on a cluster"

# A block takes some 80 ms of a CPU, a task of Ray some milliseconds of the process that writes.
_BLOCKS_PER_TASK = 8
# At the end of a window CPUs wait for the last of them: one task's time in so many.
_TASKS_PER_CPU = 32
# Of a window, while it waits in the memory of the cluster: text that was read here.
_WINDOW_BYTES = 1 << 29

# Ray Data tells all that it does, and warns of the missing bars.
_LEVELS = {"ray.data": logging.WARNING, "ray.data._internal.progress": logging.ERROR}


def ray_engine(address: str | None = None, *, shared_files: bool = True, blocks_per_task: int | None = None) -> Engine:
    """An engine of `plm.corpus.prepare.prepare` that works on a Ray cluster.

    address: of the cluster, as in `ray.init`. None = the one that this process is connected to, else that of
    RAY_ADDRESS or one that runs on this machine, else a new one of this machine alone for the time of the work.
    shared_files: True = every machine finds plain text files under the same paths and reads them itself (packed ones
    are unpacked here); False = all text is sent.
    blocks_per_task: that Ray gives to a process at a time; None = what suits blocks of text.
    plm must be installed on every machine. Errors and Ctrl-C are as with processes of one machine; what happens to the
    cluster itself raises DataError. Raises BackendUnavailable without Ray.
    """
    optional_import("ray.data", extra="ray", purpose=_PURPOSE)
    ray = optional_import("ray", extra="ray", purpose=_PURPOSE)

    def spread(function: Callable[[Any], Result], blocks: Iterable[Any]) -> Generator[Result, None, None]:
        sent = blocks if shared_files else map(read, blocks)
        with _connected(ray, address), _quiet(), _told(ray):
            yield from _results(ray, function, iter(sent), blocks_per_task or _BLOCKS_PER_TASK)

    return spread


def _results(
    ray: ModuleType, function: Callable[[Item], Result], items: Iterator[Item], items_per_task: int
) -> Generator[Result, None, None]:
    """The results of all items in their order."""
    task = functools.partial(_outcomes, _put(ray, function))
    while rows := list(_window(items, most=int(items_per_task * _TASKS_PER_CPU * _cpus(ray)))):
        data = ray.data.from_items(rows, override_num_blocks=-(-len(rows) // items_per_task)).map_batches(
            task, batch_size=None, batch_format="pyarrow", zero_copy_batch=True
        )
        data.context.execution_options.preserve_order = True
        data.context.enable_progress_bars = data.context.print_on_execution_start = False
        with closing(iter(data.iter_batches(batch_size=None, batch_format="pyarrow"))) as tables:
            outcomes = (pickle.loads(outcome.as_buffer()) for table in tables for outcome in table["outcome"])
            for _, outcome in zip(rows, outcomes, strict=True):
                if isinstance(outcome, Failure):
                    raise outcome.error
                yield outcome


def _put(ray: ModuleType, function: Callable[[Any], Any]) -> Any:
    """A reference to the pickled function in the memory of the cluster; one of a script travels as a whole."""
    try:
        return ray.put(ray.cloudpickle.dumps(function))
    except (pickle.PicklingError, TypeError) as error:
        raise ConfigError(f"{function!r} cannot be sent to a cluster ({error}); take one without open files") from error


def _window(items: Iterator[Item], *, most: int) -> Iterator[dict[str, bytes]]:
    """Rows for the next of the items, pickled: `most`, or fewer that are large."""
    held = 0
    while most and held < _WINDOW_BYTES and (item := next(items, None)) is not None:
        row = pickle.dumps(item)
        yield {"item": row}
        held += len(row)
        most -= 1


def _outcomes(reference: Any, table: Any) -> Any:
    """What a task does: rows of pickled items to rows of pickled results, or of failures in their place."""
    pyarrow = optional_import("pyarrow", extra="ray", purpose=_PURPOSE)
    outcomes = [_outcome(reference, item.as_buffer()) for item in table["item"]]
    return pyarrow.table({"outcome": pyarrow.array(outcomes, pyarrow.large_binary())})


def _outcome(reference: Any, item: Any) -> bytes:
    try:
        return pickle.dumps(_function(reference)(pickle.loads(item)))
    except Exception as error:
        return pickle.dumps(Failure(portable(error)))


@functools.lru_cache(maxsize=1)
def _function(reference: Any) -> Callable[[Any], Any]:
    """The function behind a reference, made once in every process: it may remember what makes it faster."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # as many threads as cores, in every process
    ray = optional_import("ray", extra="ray", purpose=_PURPOSE)
    function: Callable[[Any], Any] = pickle.loads(ray.get(reference))
    return function


def _cpus(ray: ModuleType) -> float:
    """Of the cluster now, which may grow."""
    return max(1.0, float(ray.cluster_resources().get("CPU", 0.0)))


@contextmanager
def _connected(ray: ModuleType, address: str | None) -> Iterator[None]:
    """A connection to the cluster; one that was there before is used, and stays."""
    if ray.is_initialized():
        here = ray.get_runtime_context().gcs_address
        if address not in (None, here):
            raise ConfigError(f"address {address!r}: this process is connected to Ray at {here} already; leave it out")
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # else a new cluster tells its makers about itself
    try:
        ray.init(address, include_dashboard=False, logging_level=logging.WARNING)
    except (ConnectionError, ValueError) as error:
        raise ConfigError(f"address {address!r}: no Ray cluster can be reached there: {error}") from error
    before = set(threading.enumerate())
    try:
        yield
    finally:
        # Those that fetch results end soon after they are told; one that asks a Ray that is gone ends the process.
        for thread in set(threading.enumerate()) - before:
            thread.join(timeout=1)
        ray.shutdown()


@contextmanager
def _quiet() -> Iterator[None]:
    """Nothing but warnings from Ray Data."""
    before = {name: logging.getLogger(name).level for name in _LEVELS}
    try:
        for name, level in _LEVELS.items():
            logging.getLogger(name).setLevel(level)
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


@contextmanager
def _told(ray: ModuleType) -> Iterator[None]:
    """What happens to the cluster as an error for users."""
    try:
        yield
    except ray.exceptions.RayError as error:
        raise DataError(
            f"the Ray cluster could not do the work ({type(error).__name__}): {error}\nMost often a machine lacks "
            "memory, plm, or a module of this program; once that is mended, the same call goes on from what is written"
        ) from error
