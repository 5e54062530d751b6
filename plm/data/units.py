"""Which units of texts are chosen: subsets of a given size, of given tokens, or each for itself. Nothing has a state.

Texts come one after the other: text n has the items borders[n] to borders[n + 1] - 1. Every text has a key, from which
its random numbers follow (plm.data.draws).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from plm.data.draws import Numbers, below, draws, happens

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

# The size of an item that fits nowhere.
_NEVER = 1 << 62


def within(borders: Ints) -> tuple[Ints, Ints]:
    """(items,) both: the text of each item, and its place in it."""
    sizes = np.diff(borders)
    text = np.repeat(np.arange(len(sizes)), sizes)
    place = np.arange(borders[-1])
    place -= np.repeat(borders[:-1], sizes)
    return text, place


def subset(borders: Ints, wanted: Ints, key: Numbers) -> Flags:
    """(items,), True = chosen: of each text exactly `wanted` items, every such subset as likely as any other.

    Draws places until enough different ones have come; where more than half are wanted, those that are left out.
    """
    sizes = np.diff(borders)
    turned = 2 * wanted > sizes
    missing = np.where(turned, sizes - wanted, wanted)
    drawn = np.zeros_like(missing)
    chosen = np.zeros(borders[-1], dtype=bool)
    last = np.zeros(borders[-1], dtype=np.int64)
    while missing.any():
        text, place = within(np.append(0, np.cumsum(missing)))
        item = borders[text] + below(draws(key[text], drawn[text] + place), sizes[text])
        number = np.arange(len(item))
        last[item] = number
        is_new = (last[item] == number) & ~chosen[item]
        chosen[item] = True
        drawn += missing
        missing -= np.bincount(text[is_new], minlength=len(missing))
    return chosen ^ np.repeat(turned, sizes) if turned.any() else chosen


def filling(borders: Ints, sizes: Ints, wanted: Ints, key: Numbers, *, limit: Ints) -> Flags:
    """(items,), True = chosen: as if the items of each text came in random order, each taken while more is wanted.

    sizes: (items,), of each, at least 1. wanted: (texts,), of what is taken, the last item may exceed it.
    limit: (texts,), at least `wanted`: an item that would exceed this one is passed over, and the next one is tried.

    Draws items, more or less as many as it takes, for all texts in step. Where they did not suffice, more are drawn of
    those that can still be taken: an item that did not fit will not fit later either.
    """
    chosen = np.zeros(len(sizes), dtype=bool)
    latest = np.empty(len(sizes), dtype=np.int64)
    room, spare, drawn = limit.copy(), limit - wanted, np.zeros_like(wanted)
    pool = np.arange(len(sizes))
    while len(texts := np.flatnonzero((room > spare) & (np.diff(borders) > 0))):
        left, own, in_pool = room[texts], spare[texts], np.diff(borders)[texts]
        count = (left - own) * 5 // 4 + 2
        step = np.arange(count.max())[:, None]
        item = pool[borders[texts] + below(draws(key[texts], drawn[texts] + step), in_pool)]
        number = np.arange(item.size)
        latest[item.ravel()[::-1]] = number[::-1]  # of an item that comes twice the first is written last, and stays
        is_new = (latest[item] == number.reshape(item.shape)) & (step < count)
        taken = _in_step(np.where(is_new, sizes[item], _NEVER), left, own)
        chosen[item[taken]] = True
        room[texts] = left
        drawn[texts] += count
        pool, borders = _fitting(pool, borders, chosen, sizes, np.where(room > spare, room, 0))
    return chosen


def _in_step(sizes: Ints, room: Ints, spare: Ints) -> Flags:
    """What is taken of items that come one after the other, (steps, texts); `room` becomes what is left."""
    taken = np.empty(sizes.shape, dtype=bool)
    for fits, size in zip(taken, sizes, strict=True):
        np.less_equal(size, room, out=fits)
        fits &= room > spare
        np.subtract(room, size, out=room, where=fits)
    return taken


def _fitting(pool: Ints, borders: Ints, chosen: Flags, sizes: Ints, room: Ints) -> tuple[Ints, Ints]:
    """What can still be taken of a pool of items, and the borders of the texts in it.

    room: (texts,), of the largest such item.
    """
    is_open, in_pool = room > 0, np.diff(borders)
    pool = pool[np.repeat(is_open, in_pool)]
    text = np.repeat(np.arange(len(room)), np.where(is_open, in_pool, 0))
    kept = ~chosen[pool] & (sizes[pool] <= room[text])
    return pool[kept], np.searchsorted(text[kept], np.arange(len(room) + 1))


def independent(borders: Ints, probability: float, key: Numbers) -> Flags:
    """(items,), True = chosen: each for itself."""
    text, place = within(borders)
    return happens(draws(key[text], place), probability)


def running(sizes: Ints, firsts: Ints) -> Ints:
    """(items,): the sum of the sizes up to each item, begun anew at each of the rising `firsts`; texts may be empty."""
    sums = np.append(0, np.cumsum(sizes))
    before: Ints = np.repeat(sums[firsts], np.diff(np.append(firsts, len(sizes))))
    return sums[1:] - before
