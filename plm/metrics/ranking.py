"""How well scores order candidates: by pairs, by the first relevant one, by all relevant ones."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from plm.errors import DataError

Group = tuple[NDArray[np.float64], NDArray[np.int64]]
"""Scores and labels of the candidates of one query."""


def rank_metrics(groups: Sequence[Hashable], labels: Sequence[int], scores: Sequence[float]) -> dict[str, float]:
    """What is defined of "mrr", "map" and "ordering_accuracy", each in [0, 1], the mean over queries or pairs.

    groups: the query of each candidate, all three in the same order. labels: how well it fits; 0 = not at all.
    mrr: 1 / rank of the first relevant candidate (label above 0). map: mean of the precision at every relevant one.
    Queries without a relevant or without an irrelevant candidate say nothing about an order and do not count.
    ordering_accuracy: share of the pairs with different labels in which the better one has the higher score.
    Equal scores count one half to a pair; for ranks, relevant candidates stand behind irrelevant ones of equal score.
    Raises DataError when lengths differ, or there is nothing to compare.
    """
    if not len(groups) == len(labels) == len(scores):
        raise DataError(f"{len(groups)} groups, {len(labels)} labels and {len(scores)} scores; expected equal numbers")
    by_group: dict[Hashable, list[int]] = {}
    for place, group in enumerate(groups):
        by_group.setdefault(group, []).append(place)
    all_scores, all_labels = np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=np.int64)
    wholes: list[Group] = [(all_scores[places], all_labels[places]) for places in by_group.values()]
    pairs = [_ordered_pairs(*whole) for whole in wholes]
    compared = sum(count for _, count in pairs)
    if not compared:
        raise DataError("nothing to compare: no query has candidates with different labels")
    ranks = [_ranks(*whole) for whole in wholes if (whole[1] > 0).any() and (whole[1] <= 0).any()]
    metrics = {
        "mrr": [1 / found[0] for found in ranks],
        "map": [float(np.mean(np.arange(1, len(found) + 1) / found)) for found in ranks],
    }
    means = {name: float(np.mean(values)) for name, values in metrics.items() if values}
    return means | {"ordering_accuracy": sum(right for right, _ in pairs) / compared}


def _ordered_pairs(scores: NDArray[np.float64], labels: NDArray[np.int64]) -> tuple[float, int]:
    """Pairs in the right order, equal scores counting one half, and all pairs with different labels."""
    better = labels[:, None] > labels[None, :]
    ahead = (scores[:, None] > scores[None, :]) + 0.5 * (scores[:, None] == scores[None, :])
    return float(ahead[better].sum()), int(better.sum())


def _ranks(scores: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Ranks, from 1, of the relevant candidates, rising; behind irrelevant ones of the same score."""
    order = np.lexsort((labels > 0, -scores))
    ranks: NDArray[np.int64] = np.flatnonzero(labels[order] > 0) + 1
    return ranks
