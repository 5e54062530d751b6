"""Several tasks in one stream of batches: how often each, in which order, and where each of them stands.

    tasks = {"intent": intents, "slots": slots, "words": lines}
    mixture = Mixture(tasks, Mixing(ratios={"words": 0.5}, epoch_of=("intent", "slots")))
    print(*mixture.lines(epochs=3), sep="\n")
    Trainer(model, config, batches=mixture, step=MixtureStep({name: SupervisedStep() for name in tasks})).train()

Everything is settled before the first update: how many batches of each task an epoch holds, and their order. So the
number of updates is known and a schedule ends where it should; and any place in the stream is found again without
going through what was before.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plm.config import require_choice, require_types
from plm.data.fingerprint import digest, facts
from plm.errors import ConfigError, DataError, did_you_mean

Numbers = NDArray[np.int64]

# Tells the random numbers of the order of tasks from those of the order of examples, which have the same seed.
_STREAM = 2**32 - 1

# What is less than this above a whole number of updates is a rounding error, not a claim to one more.
_ROUNDING = 1e-6


class Pass(Protocol):
    """One pass over the data of a task: plm.data.Epoch is one."""

    def __len__(self) -> int:
        """Batches."""
        ...

    def __getitem__(self, number: int, /) -> dict[str, Tensor]:
        """A batch."""
        ...


class TaskBatches(Protocol):
    """The data of a task: plm.data.Batches is one."""

    def __len__(self) -> int:
        """Batches of the first pass."""
        ...

    def epoch(self, number: int) -> Pass:
        """Pass `number`, from 0."""
        ...


@dataclass(frozen=True, kw_only=True)
class Mixing:
    """How often each task comes, and in which order.

    ratios: batches of a task for each one of another whose ratio is 1; 1 where not named. How many examples a batch has
        is the task's own affair.
    size_exponent: ratios are multiplied by the batches that a task has, to this power: 0 = as given, 1 = in proportion
        to size, 0.5 = to its square root, 1 / T = temperature T.
    last_size_exponent: that of the last epoch; those between change evenly. None = all have the same. (Stickland and
        Murray 2019 go from 1 to 0.2.)
    epoch_of: tasks of which an epoch holds every example at least once; () = all. Of one task: an epoch is a pass over
        it. Name the main tasks to make the others auxiliary.
    order: "even" = at any moment each task has had its share, give or take a batch; "shuffled" = all orders are equally
        likely.
    one_task_per_update: True = an update with gradient accumulation has batches of one task, False = of several, as
        the ratios say. With False, ratios set how many examples of each task an update sees, not how much they count:
        the loss of an update is the sum of the tasks' mean losses.
    """

    ratios: dict[str, float] = field(default_factory=dict)
    size_exponent: float = 0.0
    last_size_exponent: float | None = None
    epoch_of: tuple[str, ...] = ()
    order: Literal["even", "shuffled"] = "even"
    one_task_per_update: bool = False

    def __post_init__(self) -> None:
        require_types(self)
        require_choice(self, "order", ("even", "shuffled"))
        for name, ratio in self.ratios.items():
            if ratio <= 0.0:
                raise ConfigError(
                    f"ratios: {name}: expected a positive number, got {ratio}; leave out a task of ratio 0"
                )
        for name in ("size_exponent", "last_size_exponent"):
            value = getattr(self, name)
            if value is not None and not 0.0 <= value <= 1.0:
                raise ConfigError(f"{name}: expected a number from 0 to 1, got {value}")


class Mixture:
    """Several tasks as one: what a Trainer reads. Every batch carries "task", the number of its task in `tasks`.

    tasks: by name, in the order of their numbers. mixing: how. seed: of the order of tasks.
    accumulation: batches of an update (gradient_accumulation_steps).
    epochs: of the whole run; needed with last_size_exponent alone.

    An epoch is the shortest mixture that holds every example of the tasks in epoch_of; the one among them that has
    most batches for its ratio sets its length, and an epoch is a pass over it. The others go round: each continues in
    the next epoch where it stopped in this one, so that none of its examples is favoured, and every pass is shuffled
    anew. After each epoch a task has had its exact share of the batches so far, rounded up to a whole batch (update,
    with one_task_per_update): never less, and less than one more.
    Raises ConfigError for names that are no task and epochs shorter than an update, DataError for a task without
    batches.
    """

    def __init__(
        self,
        tasks: Mapping[str, TaskBatches],
        mixing: Mixing | None = None,
        *,
        seed: int = 0,
        accumulation: int = 1,
        epochs: float | None = None,
    ) -> None:
        self.tasks, self.mixing, self.seed, self.epochs = dict(tasks), mixing or Mixing(), seed, epochs
        self.block = accumulation if self.mixing.one_task_per_update else 1
        self._check(accumulation)
        self.sizes = {name: len(batches) for name, batches in self.tasks.items()}
        if empty := [name for name, size in self.sizes.items() if size < 1]:
            raise DataError(f"the task {empty[0]!r} has no batches")
        rates = self._rates(0)
        self.leader = max(self.mixing.epoch_of or self.tasks, key=lambda name: self.sizes[name] / rates[name])
        if (most := self.sizes[self.leader]) < self.block:
            raise ConfigError(
                f"one_task_per_update: an epoch has {most} batches of {self.leader!r}, fewer than the {accumulation} "
                "of an update; accumulate less, or leave it out"
            )
        self._streams = {name: _Stream(name, batches) for name, batches in self.tasks.items()}
        self._shares = [dict.fromkeys(self.tasks, 0.0)]  # batches, not rounded, before epoch 0, 1, ...

    def __len__(self) -> int:
        """Batches of the first epoch."""
        return len(self.epoch(0))

    def epoch(self, number: int) -> MixtureEpoch:
        """Epoch `number`, from 0. The same number gives the same batches, whatever was asked before."""
        before, after = self._blocks_before(number), self._blocks_before(number + 1)
        counts = np.array([after[name] - before[name] for name in self.tasks])
        order = _ORDERS[self.mixing.order](counts, _random(len(counts) + int(counts.sum()), self.seed, number))
        return MixtureEpoch(
            tuple(self._streams.values()), order, first=np.array(list(before.values())), block=self.block
        )

    def counts(self, epochs: int = 1, batches: int = 0) -> dict[str, int]:
        """Batches of each task in so many epochs from the first on, and so many batches of the next one.

        Where a run stands, `run.place`, tells so what it has really seen: counts(place.epoch, place.batch).
        """
        counts = {name: blocks * self.block for name, blocks in self._blocks_before(epochs).items()}
        return counts if not batches else _added(counts, self.epoch(epochs).counts(batches))

    def lines(self, epochs: int = 1, batches: int = 0) -> list[str]:
        """What the mixture really holds, for people, a task a line; arguments as for `counts`."""
        counts = self.counts(epochs, batches)
        total = max(1, sum(counts.values()))
        return [
            f"{name}: {count} of {total} batches ({count / total:.1%}), {count / self.sizes[name]:.2f} passes"
            for name, count in counts.items()
        ]

    def fingerprint(self) -> dict[str, int | str]:
        """Facts that tell data and order from others: those of the tasks, and how many batches each has."""
        told: dict[str, int | str] = {"order of tasks": digest(self.epoch(0).order)}
        for name, batches in self.tasks.items():
            told |= {f"{name}: batches": self.sizes[name], **facts(batches, of=f"{name}: ")}
        return told

    def _check(self, accumulation: int) -> None:
        mixing = self.mixing
        if not self.tasks:
            raise ConfigError("a mixture needs at least one task")
        if accumulation < 1:
            raise ConfigError(f"accumulation: expected a positive number of batches, got {accumulation}")
        for where, names in (("ratios", mixing.ratios), ("epoch_of", mixing.epoch_of)):
            for name in names:
                if name not in self.tasks:
                    listed = ", ".join(self.tasks)
                    raise ConfigError(
                        f"{where}: no task {name!r}{did_you_mean(name, self.tasks)} (there are: {listed})"
                    )
        if mixing.last_size_exponent is not None and self.epochs is None:
            raise ConfigError("last_size_exponent: the mixture needs the number of epochs of the run, epochs=")

    def _rates(self, epoch: int) -> dict[str, float]:
        """How often each task comes in an epoch, in any unit."""
        mixing, most = self.mixing, max(self.sizes.values())
        exponent = mixing.size_exponent
        if mixing.last_size_exponent is not None and self.epochs is not None and self.epochs > 1:
            exponent += (mixing.last_size_exponent - exponent) * min(1.0, epoch / (math.ceil(self.epochs) - 1))
        return {name: mixing.ratios.get(name, 1.0) * (size / most) ** exponent for name, size in self.sizes.items()}

    def _blocks_before(self, epoch: int) -> dict[str, int]:
        """Blocks, single batches or whole updates, that each task has had before an epoch."""
        while len(self._shares) <= epoch:
            done = len(self._shares) - 1
            rates, length = self._rates(done), self._streams[self.leader].length(done)
            shares = self._shares[-1]
            self._shares.append({name: shares[name] + length * rates[name] / rates[self.leader] for name in shares})
        return {name: math.ceil(share / self.block - _ROUNDING) for name, share in self._shares[epoch].items()}


class MixtureEpoch:
    """The batches of one epoch, made when they are asked for: len(), iteration, and epoch[number].

    order: (blocks,), the task of each block of batches. first: (tasks,), blocks of each task before this epoch.
    block: batches of one task that come together.
    """

    def __init__(self, streams: Sequence[_Stream], order: Numbers, *, first: Numbers, block: int) -> None:
        self.streams, self.order, self.block = streams, order, block
        by_task = np.argsort(order, kind="stable")
        tasks = order[by_task]
        self._places = np.empty_like(order)  # of each block in the stream of its task
        self._places[by_task] = np.arange(len(order)) - np.searchsorted(tasks, tasks) + first[tasks]

    def __len__(self) -> int:
        return len(self.order) * self.block

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        if not 0 <= number < len(self):
            raise IndexError(f"batch {number} of {len(self)}")
        block, offset = divmod(number, self.block)
        task = int(self.order[block])
        batch = self.streams[task][int(self._places[block]) * self.block + offset]
        return {**batch, "task": torch.tensor(task)}

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        return (self[number] for number in range(len(self)))

    def counts(self, batches: int) -> list[int]:
        """How many of the first so many batches each task has."""
        blocks, rest = divmod(min(batches, len(self)), self.block)
        counts = np.bincount(self.order[:blocks], minlength=len(self.streams)) * self.block
        counts[self.order[blocks : blocks + 1]] += rest
        return [int(count) for count in counts]


class _Stream:
    """All passes over the data of a task, one after the other."""

    def __init__(self, name: str, batches: TaskBatches) -> None:
        self.name, self.batches = name, batches
        self._ends: list[int] = []  # of each pass, in batches from the beginning
        self._open: tuple[int, Pass] | None = None

    def length(self, number: int) -> int:
        """Batches of a pass; a plan may cut the same examples into more batches or fewer."""
        while len(self._ends) <= number:
            self._extend()
        return self._ends[number] - self._start(number)

    def __getitem__(self, position: int) -> dict[str, Tensor]:
        while not self._ends or self._ends[-1] <= position:
            self._extend()
        number = bisect.bisect_right(self._ends, position)
        return self._pass(number)[position - self._start(number)]

    def _extend(self) -> None:
        """Learn how long the next pass is."""
        number = len(self._ends)
        count = len(self._pass(number))
        if count < 1:
            raise DataError(f"the task {self.name!r} has no batches in its pass {number}")
        self._ends.append((self._ends[-1] if self._ends else 0) + count)

    def _start(self, number: int) -> int:
        return self._ends[number - 1] if number else 0

    def _pass(self, number: int) -> Pass:
        if self._open is None or self._open[0] != number:
            self._open = number, self.batches.epoch(number)
        return self._open[1]


def _even(counts: Numbers, keys: NDArray[np.uint64]) -> Numbers:
    """The task of each place, such that any number of places from the first on is shared in proportion.

    counts: (tasks,), places of each. keys: random numbers, as many as tasks and places together; of two tasks that are
        due at once, the one with the smaller comes first.
    Each task is due at the middle of each of its equal parts of the whole: the divisor method of Webster and
    Sainte-Lague, by which parliaments of any size share their seats.
    """
    tasks = np.repeat(np.arange(len(counts)), counts)
    starts = np.cumsum(counts) - counts
    due = (np.arange(len(tasks)) - starts[tasks] + 0.5) / counts[tasks]
    return tasks[np.lexsort((keys[tasks], due))]


def _shuffled(counts: Numbers, keys: NDArray[np.uint64]) -> Numbers:
    """The task of each place in the order of random keys, (places,)."""
    return np.repeat(np.arange(len(counts)), counts)[np.argsort(keys[: counts.sum()], kind="stable")]


def _added(counts: Mapping[str, int], more: Sequence[int]) -> dict[str, int]:
    return {name: count + further for (name, count), further in zip(counts.items(), more, strict=True)}


_ORDERS: Mapping[str, Callable[[Numbers, NDArray[np.uint64]], Numbers]] = {"even": _even, "shuffled": _shuffled}


def _random(count: int, seed: int, epoch: int) -> NDArray[np.uint64]:
    return np.random.Philox(np.random.SeedSequence((seed, epoch, _STREAM))).random_raw(count)
