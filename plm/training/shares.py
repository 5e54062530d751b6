"""How the batches of an update are shared among processes, so that it stays the same update however many they are.

The batches of an update are a function of the configuration and the data alone. With at least as many batches as
processes, each process takes whole batches; with fewer, batches are cut by rows.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from plm.errors import TrainingError
from plm.training.distributed import Processes
from plm.training.step import Batch


@dataclass(frozen=True)
class Share:
    """What one process does of one batch. batch: on the CPU. place: of the batch in the update, and of the part in it.

    counts: False = these rows are another's; they are computed only because all processes have to.
    """

    batch: Batch
    place: tuple[int, int]
    counts: bool = True


class Indexable(Protocol):
    """Batches that can be had in any order."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def __getitem__(self, number: int, /) -> Batch:
        """Batch `number`, from 0."""
        ...


class _Slice(Sequence[Batch]):
    """Some batches of a source that can be indexed, each made when it is asked for."""

    def __init__(self, source: Indexable, numbers: range) -> None:
        self.source, self.numbers = source, numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, number: Any) -> Any:
        return self.source[self.numbers[number]]


def in_groups(batches: Iterable[Batch], size: int, *, start: int = 0) -> Iterator[Sequence[Batch]]:
    """The batches from number `start` on, `size` at a time, the last time perhaps fewer.

    If they have a length and can be indexed, a batch is made when its group is asked for it, else all of them are.
    """
    if isinstance(batches, Sized) and hasattr(batches, "__getitem__"):
        count = len(batches)
        for first in range(start, count, size):
            yield _Slice(batches, range(first, min(first + size, count)))
    else:
        rest = itertools.islice(batches, start, None)
        while group := list(itertools.islice(rest, size)):
            yield group


def asked_for(count: int, processes: Processes, *, in_step: bool) -> list[int]:
    """Which of the `count` batches of an update this process asks for, as `shares` does."""
    return list(dict.fromkeys(number for number, _ in _places(count, processes, in_step=in_step)))


def shares(batches: Sequence[Batch], processes: Processes, *, in_step: bool) -> list[Share]:
    """What this process does of the batches of an update; batches that are all another's are not asked for.

    in_step: True = every process takes part in every batch, as sharded models need, which exchange weights in the
        middle of it: batches are then always cut by rows, and who gets none computes one that does not count.
    Raises TrainingError when such a batch cannot be cut.
    """
    parts = _parts(len(batches), processes, in_step=in_step)
    taken: list[Share] = []
    for place in _places(len(batches), processes, in_step=in_step):
        batch = batches[place[0]]
        rows = count_rows(batch)
        if rows is None and parts > 1 and in_step:
            raise TrainingError(
                'parallel "fsdp" cuts batches by rows, and the tensors of this one have different numbers of them: '
                f"{', '.join(f'{name} {tuple(tensor.shape)}' for name, tensor in batch.items())}"
            )
        start, stop = (0, int(place[1] == 0)) if rows is None else _bounds(rows, place[1], parts)
        if parts == 1:
            taken.append(Share(batch, place))
        elif start < stop:
            taken.append(Share(batch if rows is None else _cut(batch, start, stop), place))
        elif in_step:
            taken.append(Share(_cut(batch, 0, 1), place, counts=False))
    return taken


def _parts(count: int, processes: Processes, *, in_step: bool) -> int:
    """Into how many each of `count` batches is cut."""
    return processes.count if in_step else max(1, math.ceil(processes.count / max(1, count)))


def _places(count: int, processes: Processes, *, in_step: bool) -> list[tuple[int, int]]:
    """What this process gets: batch and part."""
    parts = _parts(count, processes, in_step=in_step)
    return [divmod(number, parts) for number in range(processes.rank, count * parts, processes.count)]


def count_rows(batch: Batch) -> int | None:
    """Rows of a batch: the first dimension of all its tensors, numbers apart; None = they differ."""
    sizes = {len(tensor) for tensor in batch.values() if tensor.ndim}
    return sizes.pop() if len(sizes) == 1 else None


def _bounds(rows: int, part: int, parts: int) -> tuple[int, int]:
    """First row of a part, and the row after its last; parts differ by at most one row."""
    return rows * part // parts, rows * (part + 1) // parts


def _cut(batch: Batch, start: int, stop: int) -> dict[str, Tensor]:
    return {name: tensor[start:stop] if tensor.ndim else tensor for name, tensor in batch.items()}
