"""Which examples form which batch: little padding, every example once, order a function of seed and epoch alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plm.errors import ConfigError, DataError

Indexes = NDArray[np.int64]


@dataclass(frozen=True)
class BatchPlan:
    """The batches of one epoch.

    lengths: tokens of each example, special ones included.
    batches: the examples of each batch, by index into `lengths`; together every index exactly once.
    """

    lengths: Indexes
    batches: tuple[Indexes, ...]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Indexes]:
        return iter(self.batches)

    def __getitem__(self, number: int) -> Indexes:
        return self.batches[number]

    @property
    def padding_share(self) -> float:
        """Share of the positions that are padding when each batch is padded to its longest example; in [0, 1)."""
        padded = sum(len(batch) * int(self.lengths[batch].max()) for batch in self.batches)
        return 1.0 - int(self.lengths.sum()) / padded if padded else 0.0


def batches_by_count(
    lengths: Sequence[int] | Indexes, *, batch_size: int, seed: int | None = None, epoch: int = 0, window: int = 1
) -> BatchPlan:
    """Batches of `batch_size` examples; one of them may be smaller.

    seed: None = no shuffling: all examples by falling length, which pads least and meets the largest batch first.
    window: shuffled examples are sorted by length inside windows of this many batches, then the batches of a window are
        shuffled; 1 = batches are drawn without regard to length, as a mean over tokens wants it: a batch of short texts
        would make each of their tokens count for more. With window = gradient_accumulation_steps an update sees the
        same examples as with window = 1, so that sorting changes nothing but the time.
    Raises ConfigError for sizes below 1, DataError without examples.
    """
    _require_at_least_one(batch_size=batch_size, window=window)
    sizes = _as_lengths(lengths)
    batches = []
    for chosen, order in _windows(sizes, seed=seed, epoch=epoch, size=batch_size * window):
        parts = [chosen[start : start + batch_size] for start in range(0, len(chosen), batch_size)]
        batches += _shuffled(parts, order)
    return BatchPlan(sizes, tuple(batches))


def batches_by_tokens(
    lengths: Sequence[int] | Indexes, *, max_tokens: int, seed: int | None = None, epoch: int = 0, window: int = 4096
) -> BatchPlan:
    """Batches of as many examples as fit into max_tokens positions, padding included.

    seed: None = no shuffling, as in batches_by_count.
    window: shuffled examples are sorted by length inside windows of this many examples, then the batches of a window
        are shuffled. The number of batches may differ a little between epochs.
    Raises ConfigError for sizes below 1, DataError for an example longer than max_tokens, or without examples.
    """
    _require_at_least_one(max_tokens=max_tokens, window=window)
    sizes = _as_lengths(lengths)
    longest = int(sizes.argmax())
    if sizes[longest] > max_tokens:
        raise DataError(
            f"example {longest} has {sizes[longest]} tokens, more than max_tokens {max_tokens}; raise it, or cut "
            "texts with a smaller max_length"
        )
    batches = []
    for chosen, order in _windows(sizes, seed=seed, epoch=epoch, size=window):
        batches += _shuffled(_filled(chosen, sizes, max_tokens), order)
    return BatchPlan(sizes, tuple(batches))


@dataclass(frozen=True, kw_only=True)
class Batching:
    """How shuffled examples become batches, as a config says it.

    batch_size: examples of a batch. tokens_per_batch: positions of a batch, in place of batch_size, as in
    batches_by_tokens. bucket_batches: the window of batches_by_count.
    """

    batch_size: int = 32
    tokens_per_batch: int | None = None
    bucket_batches: int = 1

    def plan(self, lengths: Sequence[int] | Indexes, *, seed: int | None, epoch: int = 0) -> BatchPlan:
        """The batches of one epoch."""
        if self.tokens_per_batch is not None:
            return batches_by_tokens(lengths, max_tokens=self.tokens_per_batch, seed=seed, epoch=epoch)
        return batches_by_count(lengths, batch_size=self.batch_size, seed=seed, epoch=epoch, window=self.bucket_batches)


def permutation(count: int, *, seed: int, epoch: int) -> Indexes:
    """A shuffle of 0 to count - 1 that depends on nothing but its arguments: not on versions, platform or history.

    Sorts the raw output of Philox, which numpy promises to keep; it makes no such promise for Generator.permutation.
    """
    return np.argsort(_random(count, seed, epoch, stream=0), kind="stable")


def _random(count: int, seed: int, epoch: int, *, stream: int) -> NDArray[np.uint64]:
    return np.random.Philox(np.random.SeedSequence((seed, epoch, stream))).random_raw(count)


def _windows(
    sizes: Indexes, *, seed: int | None, epoch: int, size: int
) -> Iterator[tuple[Indexes, NDArray[np.uint64] | None]]:
    """Examples by falling length, window by window, each with random numbers to shuffle its batches by.

    Without seed: one window with all of them, and no random numbers.
    """
    if seed is None:
        yield np.argsort(-sizes, kind="stable"), None
        return
    order = permutation(len(sizes), seed=seed, epoch=epoch)
    for number, start in enumerate(range(0, len(order), size), 1):
        chosen = order[start : start + size]
        chosen = chosen[np.argsort(-sizes[chosen], kind="stable")]
        yield chosen, _random(len(chosen), seed, epoch, stream=number)


def _shuffled(batches: list[Indexes], order: NDArray[np.uint64] | None) -> list[Indexes]:
    if order is None:
        return batches
    return [batches[number] for number in np.argsort(order[: len(batches)], kind="stable")]


def _filled(chosen: Indexes, sizes: Indexes, max_tokens: int) -> list[Indexes]:
    """Cut examples of falling length into batches; the first of each is the longest and sets how many fit."""
    batches, start = [], 0
    while start < len(chosen):
        count = max_tokens // int(sizes[chosen[start]])
        batches.append(chosen[start : start + count])
        start += count
    return batches


def _as_lengths(lengths: Sequence[int] | Indexes) -> Indexes:
    sizes = np.asarray(lengths, dtype=np.int64)
    if not len(sizes):
        raise DataError("there are no examples to form batches of")
    if sizes.min() < 1:
        raise DataError(f"example {int(sizes.argmin())} has no tokens")
    return sizes


def _require_at_least_one(**values: int) -> None:
    for name, value in values.items():
        if value < 1:
            raise ConfigError(f"{name}: expected a positive integer, got {value}")
