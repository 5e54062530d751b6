"""A model: one backbone and named heads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

import plm.heads.causal_lm
import plm.heads.double_heads
import plm.heads.hidden_projection
import plm.heads.masked_lm
import plm.heads.next_sentence
import plm.heads.pretraining
import plm.heads.question_answering
import plm.heads.sequence_classification
import plm.heads.token_classification  # noqa: F401  (each import adds its rows to HEADS)
from plm.blocks.cache import KeyValueCache
from plm.blocks.layout import Layout, Pattern
from plm.blocks.tap import Tap
from plm.errors import ConfigError, UnknownNameError, did_you_mean
from plm.heads.head import HEADS, Head, check_targets
from plm.heads.output import EncoderOutput, Output
from plm.models.backbone import Backbone
from plm.models.config import ModelConfig
from plm.models.families import FAMILIES


class Model(nn.Module):
    """A backbone with any number of heads. Without heads it returns the encoding itself.

    config: what backbone and heads were built from.
    heads: by name; a name in HEADS, or any other when the caller builds several of a kind.
    """

    def __init__(self, config: ModelConfig, backbone: Backbone, heads: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.config = config
        self.backbone = backbone
        self.heads = nn.ModuleDict(heads)

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


def build_model(config: ModelConfig, heads: tuple[str, ...] = (), *, pooler: bool | None = None) -> Model:
    """A model with uninitialised parameters.

    heads: names in HEADS. pooler: None = if the family has one and a head needs it, or there is no head.
    Raises UnknownNameError for unknown heads, ConfigError for a head that needs a pooler where there is none.
    """
    specs = {name: HEADS.get(name) for name in heads}
    pooling = [name for name, spec in specs.items() if spec.needs_pooler(config)]
    if pooler is None:
        pooler = not specs or bool(pooling)
    backbone = FAMILIES.get(config.model_type).build(config, pooler=pooler)
    if pooling and backbone.pooler is None:
        raise ConfigError(f"{pooling[0]} reads the pooled first token, and this {config.model_type} has no pooler")
    return Model(config, backbone, {name: spec.build(config) for name, spec in specs.items()})
