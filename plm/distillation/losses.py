"""How far inner values of student and teacher are apart: means over what is real, whatever the padding."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor
from torch.nn import functional as F

from plm.blocks.layout import Layout, Packed, Pattern
from plm.distillation.scores import Projections, scores_distance
from plm.distillation.view import Seen, View, lengths_of
from plm.training.step import Batch


class Measure(Protocol):
    """One way to take means of squared distances, and to say what they are means over.

    packs: True = a packed view serves, in which there is no padding.
    """

    packs: bool

    def score_names(self, block: int) -> tuple[str, ...]:
        """What to tap for the attention scores of a block, counted from 1."""
        ...

    def count(self, batch: Batch, pattern: Pattern) -> tuple[float, float]:
        """(pairs of tokens, tokens) of a batch that distances of scores, and of states, are means over."""
        ...

    def scores(self, own: tuple[Seen, int], theirs: tuple[Seen, int], view: View, *, averages_heads: bool) -> Tensor:
        """Mean squared distance of the attention scores of two blocks: (what was seen, number of the block from 1).

        averages_heads: True = that of the means over the heads.
        """
        ...

    def states(self, own: Tensor, theirs: Tensor, view: View) -> Tensor:
        """Mean squared distance of two states, (..., hidden), as the view lays them out."""
        ...

    def per_class(self, classes: int) -> float:
        """What a sum over so many classes is multiplied by."""
        ...


class TrueMeans:
    """Over real tokens, and over pairs of real tokens of which the first may attend to the second."""

    packs = True

    def score_names(self, block: int) -> tuple[str, ...]:
        """Queries and keys: scores are made of them here, only where they count."""
        return f"blocks.{block - 1}.query", f"blocks.{block - 1}.key"

    def count(self, batch: Batch, pattern: Pattern) -> tuple[float, float]:
        """See Measure."""
        lengths = lengths_of(batch)
        seen = lengths * (lengths + 1) // 2 if pattern == "causal" else lengths * lengths
        return float(seen.sum()), float(lengths.sum())

    def scores(self, own: tuple[Seen, int], theirs: tuple[Seen, int], view: View, *, averages_heads: bool) -> Tensor:
        """See Measure."""
        ours, given = _projections(*own), _projections(*theirs)
        return scores_distance(ours, given, view.layout, averages_heads=averages_heads)

    def states(self, own: Tensor, theirs: Tensor, view: View) -> Tensor:
        """See Measure."""
        return states_distance(own, theirs, view.layout)

    def per_class(self, classes: int) -> float:
        """1: the sum itself."""
        return 1.0


def states_distance(own: Tensor, theirs: Tensor, layout: Layout) -> Tensor:
    """Mean squared difference over real tokens and the width, in float32.

    own, theirs: (batch, length, width) or (tokens, width).
    """
    if isinstance(layout, Packed) or layout.live is None:
        return F.mse_loss(own.float(), theirs.float())
    live = layout.live[..., None]
    difference = (own.float() - theirs.float()).masked_fill(~live, 0.0)
    return difference.square().sum() / (live.sum().clamp(min=1) * own.shape[-1])


def _projections(seen: Seen, block: int) -> Projections:
    query, key = (seen.values[name] for name in TrueMeans().score_names(block))
    return Projections(query, key, seen.kernel)
