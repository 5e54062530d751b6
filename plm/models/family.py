"""What makes a model family: a config class, a builder, and the heads that make sense on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from plm.blocks.block import BlockConfig
from plm.models.backbone import Backbone
from plm.models.config import ModelConfig


@dataclass(frozen=True, kw_only=True)
class Family:
    """One row of FAMILIES.

    config: the frozen config class.
    build: config -> Backbone with uninitialised parameters. `pooler=False` leaves the pooler out.
    heads: names of heads that make sense, in HEADS.
    """

    config: type[ModelConfig]
    build: Callable[..., Backbone]
    heads: tuple[str, ...]


def block_config(config: ModelConfig) -> BlockConfig:
    """The part of a family config that blocks need."""
    return BlockConfig(
        hidden_size=config.hidden_size,
        num_attention_heads=config.num_attention_heads,
        intermediate_size=config.intermediate_size,
        activation=config.hidden_act,
        norm_eps=config.layer_norm_eps,
        dropout=config.hidden_dropout_prob,
        attention_dropout=config.attention_probs_dropout_prob,
        norm=config.norm,
    )
