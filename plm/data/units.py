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


def within(borders: Ints) -> tuple[Ints, Ints]:
    """(items,) both: the text of each item, and its place in it."""
    sizes = np.diff(borders)
    text = np.repeat(np.arange(len(sizes)), sizes)
    return text, np.arange(borders[-1]) - np.repeat(borders[:-1], sizes)


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


def independent(borders: Ints, probability: float, key: Numbers) -> Flags:
    """(items,), True = chosen: each for itself."""
    text, place = within(borders)
    return happens(draws(key[text], place), probability)


def shuffled(borders: Ints, key: Numbers) -> Ints:
    """(items,): the items of each text in random order, the texts in theirs.

    Up to 2**16 texts of up to 2**16 items are one sort of plain numbers (text, 32 random bits, place): many times
    faster than a sort that keeps track of places, with the same result.
    """
    text, place = within(borders)
    random = draws(key[text], place) >> np.uint64(32)
    if max(len(borders) - 1, int(np.diff(borders).max(initial=0))) > 1 << 16:
        return np.lexsort((random, text))
    numbers = (text.astype(np.uint64) << np.uint64(48)) | (random << np.uint64(16)) | place.astype(np.uint64)
    numbers.sort()
    return borders[text] + (numbers & np.uint64(0xFFFF)).astype(np.int64)


def filling(borders: Ints, sizes: Ints, room: Ints) -> Flags:
    """(items,), True = taken: in their order, those that still fit into the room of their text; others are passed over.

    sizes: (items,), of each, at least 1. room: (texts,).
    """
    taken = np.zeros(len(sizes), dtype=bool)
    text, _ = within(borders)
    left, items = room.copy(), np.flatnonzero(sizes <= room[text])
    while len(items):
        owner, size = text[items], sizes[items]
        fits = running(size, np.searchsorted(owner, np.arange(len(room)))) <= left[owner]
        taken[items[fits]] = True
        left -= np.bincount(owner[fits], weights=size[fits], minlength=len(room)).astype(np.int64)
        rest = ~fits & (size <= left[owner])
        items = items[rest]
    return taken


def running(sizes: Ints, firsts: Ints) -> Ints:
    """(items,): the sum of the sizes up to each item, begun anew at each of the rising `firsts`; texts may be empty."""
    sums = np.append(0, np.cumsum(sizes))
    before: Ints = np.repeat(sums[firsts], np.diff(np.append(firsts, len(sizes))))
    return sums[1:] - before
