"""The means that Huawei's code takes, to compare runs with theirs: padding counts as if it were tokens.

Source: general_distill.py and task_distill.py of huawei-noah/Pretrained-Language-Model.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from plm.blocks.layout import Pattern
from plm.distillation.view import Seen, View
from plm.training.step import Batch

MASKED = -10000.0
"""What is added to the scores of keys that are hidden."""

THRESHOLD = -100.0
"""Scores up to here count as 0 in both models."""


class UpstreamMeans:
    """Over all cells of the rectangle; see plm.distillation.losses.Measure."""

    packs = False

    def score_names(self, block: int) -> tuple[str, ...]:
        """The scores themselves. A tap for them also keeps models from leaving padding out."""
        return (f"blocks.{block - 1}.scores",)

    def count(self, batch: Batch, pattern: Pattern) -> tuple[float, float]:
        """All pairs of places of a text, all places."""
        ids = batch["input_ids"]
        return float(ids.numel() * ids.shape[-1]), float(ids.numel())

    def scores(self, own: tuple[Seen, int], theirs: tuple[Seen, int], view: View, *, averages_heads: bool) -> Tensor:
        """See Measure."""
        scores, target = (self._scores(*each, view) for each in (own, theirs))
        if averages_heads:
            scores, target = scores.mean(1), target.mean(1)
        return F.mse_loss(scores, target)

    def states(self, own: Tensor, theirs: Tensor, view: View) -> Tensor:
        """See Measure."""
        return F.mse_loss(own.float(), theirs.float())

    def per_class(self, classes: int) -> float:
        """The mean over the classes."""
        return 1.0 / classes

    def _scores(self, seen: Seen, block: int, view: View) -> Tensor:
        (name,) = self.score_names(block)
        scores, live = seen.values[name].float(), view.layout.live
        if live is not None:
            scores = scores + (~live)[:, None, None, :] * MASKED
        return scores.masked_fill(scores <= THRESHOLD, 0.0)
