"""Which inner values of student and teacher are compared, and the losses that come of it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from plm.blocks.layout import Pattern
from plm.distillation.losses import Measure, TrueMeans
from plm.distillation.objective import Objective
from plm.distillation.projection import projected, require_projection
from plm.distillation.upstream import UpstreamMeans
from plm.distillation.view import Seen, View, state_name
from plm.errors import ConfigError
from plm.heads.model import Model
from plm.training.step import Batch

logger = logging.getLogger(__name__)

MEASURES: Mapping[str, Measure] = {"mean": TrueMeans(), "noah": UpstreamMeans()}

Pairs = tuple[tuple[int, int], ...]
"""(layer of the student, layer of the teacher): 0 for the embeddings, n for block n."""


@dataclass(frozen=True)
class InnerValues:
    """What is compared.

    measure: how distances are taken. pattern: who attends to whom, in both models.
    scores: blocks whose attention scores are compared. states: by the name of the loss, layers whose states are.
    weights: how much each loss counts. averages_heads: True = the scores are means over the heads.
    skipped: losses that are left out, and why.
    """

    measure: Measure
    pattern: Pattern
    scores: Pairs
    states: Mapping[str, Pairs]
    weights: Mapping[str, float]
    averages_heads: bool
    skipped: Mapping[str, str]

    @classmethod
    def of(cls, student: Model, teacher: Model, objective: Objective) -> InnerValues:
        """What an objective asks for. Raises ConfigError where these two models do not allow it."""
        heads = student.config.num_attention_heads, teacher.config.num_attention_heads
        skipped = {}
        if objective.attention and heads[0] != heads[1] and objective.unequal_heads == "skip":
            skipped["attention"] = f"the student has {heads[0]} attention heads, the teacher {heads[1]}"
            logger.warning('distillation without "attention": %s', skipped["attention"])
        asked = {name for name in ("attention", "hidden", "embedding") if getattr(objective, name)} - skipped.keys()
        if asked:
            _check_patterns(student, teacher)
        if asked - {"attention"}:
            require_projection(student, teacher.config.hidden_size)
        blocks: Pairs = ()
        if asked - {"embedding"}:
            layers = (len(model.backbone.blocks) for model in (student, teacher))
            blocks = objective.match(student=next(layers), teacher=next(layers)).pairs
        states = {"hidden": blocks, "embedding": ((0, 0),)}
        return cls(
            measure=MEASURES[objective.reduction],
            pattern=student.backbone.pattern,
            scores=blocks if "attention" in asked else (),
            states={name: pairs for name, pairs in states.items() if name in asked},
            weights={name: getattr(objective, name) for name in asked},
            averages_heads=heads[0] != heads[1],
            skipped=skipped,
        )

    @property
    def own_names(self) -> tuple[str, ...]:
        """What to tap in the student."""
        return tuple(self._names(0))

    @property
    def teacher_names(self) -> tuple[str, ...]:
        """What to tap in the teacher."""
        return tuple(self._names(1))

    def weigh(self, batch: Batch) -> dict[str, float]:
        """What each loss is a mean over: pairs of tokens, tokens."""
        if not self.weights:
            return {}
        pairs, tokens = self.measure.count(batch, self.pattern)
        attention = {"attention": pairs} if self.scores else {}
        return attention | dict.fromkeys(self.states, tokens)

    def losses(self, student: Model, own: Seen, theirs: Seen, view: View) -> dict[str, Tensor]:
        """Each summed over its layers, times its weight."""
        found: dict[str, list[Tensor]] = {name: [] for name in ("attention", *self.states)}
        for block, taught_by in self.scores:
            found["attention"].append(
                self.measure.scores((own, block), (theirs, taught_by), view, averages_heads=self.averages_heads)
            )
        for name, pairs in self.states.items():
            for layer, taught_by in pairs:
                state = projected(student, own.state(layer), layer)
                found[name].append(self.measure.states(state, theirs.state(taught_by), view))
        return {name: torch.stack(parts).sum() * self.weights[name] for name, parts in found.items() if parts}

    def _names(self, side: int) -> Iterator[str]:
        for pair in self.scores:
            yield from self.measure.score_names(pair[side])
        for pairs in self.states.values():
            yield from (state_name(pair[side]) for pair in pairs)
        if self.states and not self.measure.packs:
            yield from self.measure.score_names(1)  # keeps padding in, which counts


def _check_patterns(student: Model, teacher: Model) -> None:
    patterns = student.backbone.pattern, teacher.backbone.pattern
    if patterns[0] != patterns[1] or "prefix" in patterns:
        raise ConfigError(
            f"attention_pattern: the student's is {patterns[0]!r}, the teacher's {patterns[1]!r}; inner values can be "
            'compared where both are "full" or both "causal"'
        )
