"""A model: one backbone and named heads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

import plm.heads.causal_lm
import plm.heads.double_heads
import plm.heads.hidden_projection
import plm.heads.masked_lm
import plm.heads.matching
import plm.heads.next_sentence
import plm.heads.pretraining
import plm.heads.question_answering
import plm.heads.sequence_classification
import plm.heads.token_classification
import plm.heads.with_language_model  # noqa: F401  (each import adds its rows to HEADS)
from plm.blocks.cache import KeyValueCache
from plm.blocks.layout import Layout, Pattern
from plm.blocks.tap import Tap
from plm.errors import ConfigError, UnknownNameError, did_you_mean
from plm.heads.head import HEADS, Head, check_targets
from plm.heads.output import EncoderOutput, Output
from plm.heads.several import HeadPlan, Plans, build_heads, config_for, settle
from plm.models.backbone import Backbone
from plm.models.config import ModelConfig
from plm.models.families import FAMILIES


class Model(nn.Module):
    """A backbone with any number of heads. Without heads it returns the encoding itself.

    config: what backbone and heads were built from; of several heads with options of their own, the first.
    heads: by name; a name in HEADS, or any other when the caller builds several of a kind.
    plans: what the heads are, settled (plm.heads.several.settle); None = each is of the kind that its name says.
    """

    def __init__(
        self, config: ModelConfig, backbone: Backbone, heads: Mapping[str, nn.Module], *, plans: Plans | None = None
    ) -> None:
        super().__init__()
        self.config = config
        self.backbone = backbone
        self.heads = nn.ModuleDict(heads)
        self.plans = {name: HeadPlan(name) for name in heads} if plans is None else dict(plans)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        *,
        layout: Layout | None = None,
        pattern: Pattern | None = None,
        prefix_lengths: Tensor | None = None,
        cache: KeyValueCache | None = None,
        tap: Tap | None = None,
        head: str | None = None,
        **targets: Tensor | None,
    ) -> Output:
        """Encode and predict; arguments as Backbone.forward.

        head: which of several heads to ask; None = the first.
        targets: labels and the like, by the names that the head takes (its `targets`); None counts as not given, any
            other name is an error.
        Returns the head's output, or EncoderOutput for a model without heads.
        """
        name, chosen = self._choose(head)
        check_targets(targets, () if chosen is None else chosen.targets, name)
        encoding = self.backbone(
            input_ids,
            attention_mask,
            token_type_ids,
            layout=layout,
            pattern=pattern,
            prefix_lengths=prefix_lengths,
            cache=cache,
            tap=tap,
        )
        if chosen is None:
            pooled = None if encoding.pooled is None else encoding.by_text(encoding.pooled)
            return EncoderOutput(last_hidden_state=encoding.last_hidden_state, pooler_output=pooled)
        return chosen(encoding, {key: target for key, target in targets.items() if target is not None})

    def predict_heads(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        *,
        layout: Layout | None = None,
        heads: Sequence[str] | None = None,
    ) -> dict[str, Output]:
        """Encode once and ask several heads: the outputs of each, by its name; arguments as Backbone.forward.

        heads: which to ask; None = all. Raises UnknownNameError for a head that is not there.
        """
        chosen = {name: self._choose(name)[1] for name in (self.heads if heads is None else heads)}
        encoding = self.backbone(input_ids, attention_mask, token_type_ids, layout=layout)
        return {name: head(encoding, {}) for name, head in chosen.items() if head is not None}

    def head_config(self, head: str) -> ModelConfig:
        """The config that one head sees: its labels, its kind of problem."""
        self._choose(head)
        return config_for(self.config, self._own_plan(head))

    def with_head(self, head: str) -> Model:
        """A model with one head alone, under the name of its kind, that shares all its modules with this one.

        What knows models with one head takes it: evaluations, pipelines, layouts of other libraries.
        Raises UnknownNameError for a head that is not there.
        """
        config, kind = self.head_config(head), self._own_plan(head).kind
        assert kind is not None, "only shared heads have none"
        alone = Model(config, self.backbone, {kind: self.heads[head]})
        alone.training = self.training
        return alone

    def _own_plan(self, head: str) -> HeadPlan:
        """The plan of a head, or of that whose module it shares."""
        return self.plans[self.plans[head].shared_with or head]

    def _choose(self, head: str | None) -> tuple[str, Head | None]:
        """A head and its name for messages."""
        if head is None:
            head = next(iter(self.heads), None)
        elif head not in self.heads:
            listed = ", ".join(self.heads) or "none"
            raise UnknownNameError(
                f"this model has no head {head!r}{did_you_mean(head, self.heads)} (it has: {listed})"
            )
        return ("a model without head", None) if head is None else (head, cast("Head", self.heads[head]))

    def tap_names(self) -> tuple[str, ...]:
        """What a Tap may ask for."""
        return self.backbone.tap_names()

    def new_cache(self, capacity: int) -> KeyValueCache:
        """An empty key-value cache for `capacity` tokens a row."""
        return self.backbone.new_cache(capacity)

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.backbone.embeddings.word.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Type of the word embeddings."""
        return self.backbone.embeddings.word.weight.dtype

    def num_parameters(self, *, only_trainable: bool = False) -> int:
        """Number of parameters; tied ones count once."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad or not only_trainable)

    def gradient_checkpointing_enable(self) -> None:
        """Recompute blocks in the backward pass: memory of one block instead of all, about a third more time."""
        self.backbone.gradient_checkpointing = True


def build_model(config: ModelConfig, heads: Sequence[str] | Plans = (), *, pooler: bool | None = None) -> Model:
    """A model with uninitialised parameters.

    heads: names in HEADS, or plans by name, see plm.heads.several.
    pooler: None = if the family has one and a head needs it, or there is no head.
    Raises UnknownNameError for unknown heads, ConfigError for a head that needs a pooler where there is none, and for
    plans that cannot be followed.
    """
    config, plans = settle(config, heads if isinstance(heads, Mapping) else {name: HeadPlan(name) for name in heads})
    pooling = heads_that_pool(config, plans)
    if pooler is None:
        pooler = not plans or bool(pooling)
    backbone = FAMILIES.get(config.model_type).build(config, pooler=pooler)
    if pooling and backbone.pooler is None:
        raise ConfigError(f"{pooling[0]} reads the pooled first token, and this {config.model_type} has no pooler")
    return Model(config, backbone, build_heads(config, plans), plans=plans)


def heads_that_pool(config: ModelConfig, plans: Plans) -> list[str]:
    """Names of the heads of settled plans that read the pooled first token."""
    return [
        name
        for name, plan in plans.items()
        if plan.kind is not None and HEADS.get(plan.kind).needs_pooler(config_for(config, plan))
    ]
